"""What a worker shows arrives as it was."""

from __future__ import annotations

import time

import attrs
import pytest

from balancer.exemplar import Exemplar
from balancer.snapshot import (
    DeviceSnapshot,
    HistogramSnapshot,
    Likeness,
    LikenessSnapshot,
    ProxySnapshot,
    ProxyState,
    Will,
    WritesSnapshot,
)
from config.model import Role
from guardian import packing
from guardian.connected import ClientView
from guardian.workers.messages import (
    SMALL,
    Shown,
    packed,
    packed_list,
    size,
    unpacked,
    unpacked_list,
)
from health.state import Health
from tests.support import operable

SHOWN_BY = Exemplar(
    value=0.25, at=1_790_000_000.125, client="vault 1, Zürich", device="hsm1", command="RSAS", outcome="ok",
    completion=2**40,
)  # fmt: skip
FULL = HistogramSnapshot(
    bounds=operable.BOUNDS, counts=(1, 2**40, 0, 7, 0, 1), total=0.1 + 0.2, exemplars={0: SHOWN_BY, 5: SHOWN_BY}
)


def devices(count: int) -> list[DeviceSnapshot]:
    kinds = [(role, will, health) for role in Role for will in Will for health in Health]
    return [
        operable.device(
            f"hsm{number}",
            role=kinds[number % len(kinds)][0],
            will=kinds[number % len(kinds)][1],
            health=kinds[number % len(kinds)][2],
            rate=None if number % 2 else 50.5,
            last_ping=None if number % 3 else 0.1,
            duration=FULL,
            likeness=LikenessSnapshot(state=Likeness.UNLIKE, checked_at=1e9 / 3, differs=("STAT",), results={"a": 1}),
        )
        for number in range(count)
    ]


def shown(count: int) -> Shown:
    group = operable.group(
        "payments", *devices(count),
        writes=WritesSnapshot(behind={"hsm2": 7}, in_doubt=("hsm2",), promoted="hsm1", results={"ok": 3}),
        commands=tuple(attrs.evolve(each, latest={"busy": SHOWN_BY}) for each in operable.group().commands),
    )  # fmt: skip
    return Shown(snapshot=operable.proxy(group, operable.group("issuing")), cpu=1.25, memory=2**35)


@pytest.mark.parametrize("count", [1, 8, 9, 60])
@pytest.mark.parametrize("unhurried", [False, True])
def test_a_snapshot_comes_back_as_it_was(count: int, unhurried: bool) -> None:
    sent = shown(count)
    received = unpacked(packed(sent, unhurried=unhurried))
    assert received == sent
    assert repr(received) == repr(sent)  # an int is an int, and a tuple a tuple


@pytest.mark.parametrize("state", ProxyState)
def test_a_proxy_without_anything_comes_back_too(state: ProxyState) -> None:
    empty = ProxySnapshot(state=state, started=0.5, groups=(), listeners=(), certificates={}, reloads={})
    assert unpacked(packed(Shown(snapshot=empty, cpu=0.0, memory=0))).snapshot == empty


def test_what_is_large_is_encoded_in_pieces_with_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr(packing.time, "sleep", rests.append)
    sent = shown(500)
    assert size(sent.snapshot) > SMALL
    began = time.thread_time()
    packed(sent, unhurried=True)
    whole = time.thread_time() - began
    assert len(rests) > 60
    assert sorted(rests)[len(rests) // 2] < whole / 4  # the usual piece is a small part of it
    rests.clear()
    packed(sent)
    assert not rests


def test_a_long_list_comes_back_as_it_was() -> None:
    clients = [
        ClientView("vault-1", None, "127.0.0.1", "excrypt", "payments", "shared", 1e9 / 3, 0, number)
        for number in range(1_001)
    ]
    assert unpacked_list(packed_list(clients), ClientView) == clients
    assert unpacked_list(packed_list([]), ClientView) == []
