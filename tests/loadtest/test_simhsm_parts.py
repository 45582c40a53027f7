"""The parts of the emulated device that know no sockets."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from loadtest.framing import Cutter, Framing
from loadtest.simhsm import (
    DEFAULT_DIRECTORY,
    Constant,
    FaultKind,
    FaultMix,
    LogNormal,
    Percentiles,
    PerCommand,
    SimulatedDevice,
    Steps,
)
from loadtest.simhsm.faults import Fault
from loadtest.simhsm.key import Key, KeyKind
from loadtest.simhsm.keytable import Slot
from loadtest.simhsm.message import compose_error, parse
from loadtest.simhsm.notation import parse_event, parse_latencies, parse_latency
from loadtest.simhsm.schedule import Action, follow
from loadtest.simhsm.session import Session, SessionLimits

TRACE = b"[AOECHO;AG1;]\r\n[AORAND;]x[AOA[B;]]  y\n[AOECHO;]"


@given(st.lists(st.integers(0, len(TRACE)), max_size=12))
def test_brackets_are_cut_alike_at_every_split(cuts: list[int]) -> None:
    cutter = Cutter()
    edges = [0, *sorted(cuts), len(TRACE)]
    pieces = [piece for left, right in pairwise(edges) for piece in cutter.feed(TRACE[left:right])]
    # A stray run may itself be cut where the reads were; what is between messages is all there, in its place.
    assert [piece for piece in pieces if piece.startswith(b"[")] == [
        b"[AOECHO;AG1;]", b"[AORAND;]", b"[AOA[B;]", b"[AOECHO;]",
    ]  # fmt: skip
    assert b"".join(pieces) == TRACE.replace(b"\r\n", b"").replace(b"  ", b"").replace(b"\n", b"")


@given(st.lists(st.binary(max_size=20), max_size=8), st.lists(st.integers(0, 200), max_size=12))
def test_lengths_are_cut_alike_at_every_split(messages: list[bytes], cuts: list[int]) -> None:
    trace = b"".join(Framing.LENGTH2.wrap(message) for message in messages)
    cutter = Cutter(Framing.LENGTH2)
    edges = [0, *sorted(min(cut, len(trace)) for cut in cuts), len(trace)]
    pieces = [piece for left, right in pairwise(edges) for piece in cutter.feed(trace[left:right])]
    assert pieces == messages


@given(st.binary(max_size=100))
def test_nothing_makes_the_parser_raise(data: bytes) -> None:
    for piece in (data, b"[AO" + data + b"]"):
        parse(piece)


def test_messages_are_read_with_or_without_the_last_semicolon() -> None:
    for piece in (b"[AOHMAC;RG3;FT;AGx;]", b"[AOHMAC;RG3;FT;AGx]"):
        message = parse(piece)
        assert (message.code, message.echo, dict(message.fields)) == (
            "HMAC", "x", {"AO": "HMAC", "RG": "3", "FT": "", "AG": "x"},
        )  # fmt: skip
    assert parse(b"[ECHO;]").code == ""


def test_error_answers_look_like_the_public_example() -> None:
    assert compose_error(34, "AO", "INVALID TOKEN", None) == b"[AOERRO;AM34;ANAO;BBINVALID TOKEN;]"


@pytest.mark.parametrize(
    ("requests", "stays"),
    [((50, 100), True), ((50, 111), False), ((50, 100, 150), True), ((50, 100, 150, 201), False)],
)
def test_a_login_ends_by_idleness_and_by_age(requests: tuple[float, ...], stays: bool) -> None:
    session = Session(DEFAULT_DIRECTORY, limits=SessionLimits(idle=60, age=200))
    session.log_in(DEFAULT_DIRECTORY.identities[0], 0)
    for now in requests:
        assert session.permits("GPGS")
        session.touch(now)
    assert session.permits("GPGS") is stays


def test_latencies_are_drawn_as_described() -> None:
    random = Random(1)
    normal = sorted(LogNormal(0.002, 0.02).draw("ECHO", 0, random) for _ in range(10_000))
    assert normal[5000] == pytest.approx(0.002, rel=0.1)
    assert normal[9900] == pytest.approx(0.02, rel=0.2)
    points = sorted(Percentiles([(50, 0.002), (99, 0.02)]).draw("ECHO", 0, random) for _ in range(10_000))
    assert points[2500] == 0.002
    assert points[7450] == pytest.approx(0.011, rel=0.1)
    assert points[-1] == 0.02


@pytest.mark.parametrize(
    ("text", "latency"),
    [
        ("2ms", Constant(0.002)),
        ("lognormal:2ms,p99=20ms", LogNormal(0.002, 0.02)),
        ("percentiles:p50=2ms,p99=20ms", Percentiles([(50, 0.002), (99, 0.02)])),
        ("20ms->2ms@10s", Steps([(0, Constant(0.02)), (10, Constant(0.002))])),
    ],
)
def test_latencies_are_read(text: str, latency: object) -> None:
    assert parse_latency(text) == latency


def test_steps_change_with_time_and_codes_have_their_own() -> None:
    latency = parse_latencies(["20ms->2ms@10s", "GRSA=300ms"])
    drawn = [latency.draw(code, at, Random()) for code, at in (("ECHO", 0), ("ECHO", 9.9), ("ECHO", 10), ("GRSA", 99))]
    assert drawn == [0.02, 0.02, 0.002, 0.3]
    assert isinstance(latency, PerCommand)


@pytest.mark.parametrize(
    "text", ["2", "", "normal:2ms", "lognormal:2ms", "lognormal:20ms,p99=2ms", "2ms->1ms", "p50=1ms"]
)
def test_wrong_latencies_are_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_latency(text)


def test_fault_schedules_are_read() -> None:
    hang = parse_event("hang@10s+5s")
    assert (hang.start, hang.lasting, hang.action) == (10, 5, Action.FAULT)
    assert isinstance(hang.fault, Fault)
    assert hang.fault.kind is FaultKind.HANG
    assert isinstance(parse_event("reset=5%@1s").fault, FaultMix)
    late = parse_event("late=50ms@3s+1s").fault
    assert isinstance(late, Fault)
    assert late.delay == 0.05
    assert parse_event("wrong-certificate@1s").fault.standing is FaultKind.WRONG_CERTIFICATE  # type: ignore[union-attr]
    assert parse_event("restart-empty@2s").action is Action.RESTART_EMPTY
    assert parse_event("snapshot@1s").action is Action.SNAPSHOT
    assert parse_event("restart-old@3s").action is Action.RESTART_OLD


async def test_a_snapshot_comes_back_at_its_time(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    device = SimulatedDevice()
    await nursery.start(device.serve)
    nursery.start_soon(follow, device, [parse_event("snapshot@1s"), parse_event("restart-old@3s")])
    slot = Slot(Key(KeyKind.AES, bytes(16)))
    await trio.sleep(0.5)
    device.hsm.table.put(slot, 1)
    await trio.sleep(1.5)
    device.hsm.table.put(slot, 2)
    await trio.sleep(2)
    assert list(device.hsm.table) == [1]


@pytest.mark.parametrize(
    "text", ["hang", "hang@5", "fire@1s", "hang=5%@1s", "reset=200%@1s", "kill=1@1s", "reset=5ms@1s"]
)
def test_wrong_fault_schedules_are_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_event(text)
