"""Which completions somebody who looks on gets to see, and what they say."""

from __future__ import annotations

from typing import Any

import pytest

from balancer.transport.peers import Peer
from config.model import Role
from guardian.completions import Completions
from guardian.tailing import KEPT, Line, Tail, Wanted
from tests.guardian.test_client import ONE, Talk, ask
from tests.support.core import device_settings


class Watch:
    """A tail of one group's completions."""

    def __init__(self, *devices: Any, **wanted: Any) -> None:
        self.talk = Talk(*(devices or (ONE,)))
        self.talk.client.address = "192.0.2.9"
        self.woken = 0
        clock = self.talk.group.group.clock
        self.tail = Tail(Wanted(**wanted), clock, lambda: 1_790_000_000.0, self._wake)
        self.end = Completions(lambda: {"payments": self.talk.group.group}, clock).watch(self.tail.observe)

    def _wake(self) -> None:
        self.woken += 1

    def says(self, request: bytes, seconds: float = 0.0) -> None:
        self.talk.say(request)
        self.talk.group.now += seconds
        if request in self.talk.outstanding():
            self.talk.answer(request)

    def lines(self) -> list[Line]:
        return self.tail.take(10_000)[0]


def test_a_line_says_who_what_where_and_how_long_and_no_value() -> None:
    watch = Watch()
    watch.says(b"[AOECHO;AGCanary;]", 0.25)
    [line] = watch.lines()
    assert line == Line(
        1_790_000_000.0, "payments", None, "192.0.2.9", "ECHO", "a", "ok", 250.0, 250.0, 0, 1
    )  # fmt: skip
    assert "Canary" not in str(line)


def test_what_no_device_had_is_told_without_one() -> None:
    watch = Watch()
    watch.says(b"[AOGPKD;]")
    watch.says(b"[nonsense")
    watch.says(b"]")
    blocked, malformed = watch.lines()
    assert (blocked.command, blocked.outcome, blocked.device, blocked.device_ms) == ("GPKD", "blocked", None, None)
    assert (malformed.command, malformed.outcome) == (None, "malformed")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ["ECHO", "RAND", "GPKD"]),
        ({"commands": frozenset({b"RAND", b"GPKD"})}, ["RAND", "GPKD"]),
        ({"outcomes": frozenset({"blocked"})}, ["GPKD"]),
        ({"devices": frozenset({"a"})}, ["ECHO", "RAND"]),
        ({"devices": frozenset({"payments/a"})}, ["ECHO", "RAND"]),
        ({"devices": frozenset({"other/a", "b"})}, []),
        ({"slower": 0.1}, ["RAND"]),
        ({"client": "192.0.2.9"}, ["ECHO", "RAND", "GPKD"]),
        ({"client": "192.0.2.10"}, []),
        ({"client": "vault-1"}, []),
    ],
)
def test_only_what_is_wanted(wanted: dict[str, Any], expected: list[str]) -> None:
    watch = Watch(**wanted)
    watch.says(ask(1))
    watch.says(b"[AORAND;]", 0.1)
    watch.says(b"[AOGPKD;]")
    assert [line.command for line in watch.lines()] == expected


@pytest.mark.parametrize(
    ("wanted", "there"),
    [("vault-1", True), ("vault-2", False), ("sha256:ab", True), ("sha256:cd", False), ("ab", False)],
)
def test_a_client_is_its_common_name_or_the_beginning_of_its_fingerprint(wanted: str, there: bool) -> None:
    watch = Watch(client=wanted)
    watch.talk.client.peer = Peer(
        common_name="vault-1", sans=(), fingerprint="sha256:abc123", serial=1, not_after=0.0, expires=0.0, root=None,
        certificate=None, trust=None,  # type: ignore[arg-type]
    )  # fmt: skip
    watch.says(ask(1))
    assert [line.client for line in watch.lines()] == ["vault-1"] * there


def test_where_it_failed_is_told_when_no_answer_counts() -> None:
    watch = Watch(device_settings("a", role=Role.PRIMARY), device_settings("b"))
    watch.talk.say(b"[AOGRSA;]")
    link = next(link for link in watch.talk.group.links if link.unsent)
    link.flush()
    link.lose()
    [line] = watch.lines()
    assert (line.outcome, line.device_ms) == ("unknown", None)


def test_a_reader_that_is_slow_loses_lines_and_hears_how_many() -> None:
    watch = Watch()
    for number in range(KEPT + 7):
        watch.says(ask(number))
    assert watch.woken == 1
    first, lost = watch.tail.take(10)
    assert (len(first), lost) == (10, 0)
    rest, lost = watch.tail.take(KEPT)
    assert (len(rest), lost) == (KEPT - 10, 7)
    watch.says(ask(1))
    assert watch.woken == 2
    assert watch.tail.take(10)[1] == 0
