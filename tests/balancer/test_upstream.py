from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.exchange import Attempt
from balancer.snapshot import Outcome
from balancer.upstream import Upstream, WrongOwner
from config.model import Framing, Role
from tests.support.core import FakeGroup, FakeLink, device_settings, encoded

ONE = device_settings("a", role=Role.PRIMARY)
DEEP = device_settings("a", role=Role.PRIMARY, pipeline=4)


def test_an_answer_ends_its_exchange_unchanged() -> None:
    group = FakeGroup(ONE).ready()
    asked = group.submit(b"[AOECHO;AG7;]")
    group.answer(group.upstream_of(asked), b"[AOECHO;AG7;BBany thing;]")
    assert asked.answer == b"[AOECHO;AG7;BBany thing;]"
    assert asked.outcome is Outcome.OK
    assert group.outstanding == 0


def test_several_outstanding_are_answered_in_order() -> None:
    group = FakeGroup(DEEP).ready()
    asked = [group.submit() for _ in range(4)]
    upstream = group.upstream_of(asked[0])
    upstream.link.flush()
    upstream.received(b"".join(b"[AOECHO;AG%b;]" % a.exchange.context for a in asked if a.exchange.context), group.now)
    assert [a.answer for a in asked] == [b"[AOECHO;AG%d;]" % n for n in (1, 2, 3, 4)]


@given(cuts=st.lists(st.integers(0, 60), max_size=8))
def test_answers_may_come_in_any_pieces(cuts: list[int]) -> None:
    group = FakeGroup(DEEP).ready()
    asked = [group.submit(b"[AOECHO;AG%d;]" % n) for n in range(3)]
    upstream = group.upstream_of(asked[0])
    upstream.link.flush()
    stream = b"[AOECHO;AG0;]\r\n[AOECHO;AG1;] [AOERRO;AM1;AG2;]\r\n"
    edges = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    for start, end in itertools.pairwise(edges):
        upstream.received(stream[start:end], group.now)
    assert [a.ends for a in asked] == [1, 1, 1]
    assert [a.outcome for a in asked] == [Outcome.OK, Outcome.OK, Outcome.DEVICE_ERROR]
    assert upstream.link.open


@pytest.mark.parametrize(
    "answer",
    [
        b"[AOECHO;AG8;]",  # another's
        b"[AOECHO;]",  # without the AG that was asked
        b"[AORAND;AG7;]",  # another command's
        b"[AOERRO;AM1;]",  # an error that is not said to be of this request
        b"[AOECHOX;AG7;]",
        b"[aoECHO;AG7;]",
        b"x",
        b"[]",
        b"\x00[AOECHO;AG7;]",
    ],
)
def test_an_answer_that_cannot_be_the_right_one_ends_the_connection_and_is_given_to_nobody(answer: bytes) -> None:
    group = FakeGroup(ONE).ready()
    asked = group.submit(b"[AOECHO;AG7;]")
    upstream = group.upstream_of(asked)
    group.answer(upstream, answer)
    assert not upstream.link.open
    assert asked.answer is None
    assert group["a"].outcomes == {"bad_answer": 1}
    assert group["a"].tracker.suspect


@pytest.mark.parametrize("stray", [b"[AOECHO;AG7;]", b"x", b"[", b"[AO"])
def test_bytes_on_an_idle_connection_end_it(stray: bytes) -> None:
    group = FakeGroup(ONE).ready()
    (upstream,) = group["a"].upstreams
    upstream.received(stray, group.now)
    assert not upstream.link.open
    assert not group["a"].upstreams
    assert not group["a"].free


@pytest.mark.parametrize("gap", [b"\r\n", b" ", b"\t\r\n "])
def test_line_ends_and_blanks_between_answers_are_nothing(gap: bytes) -> None:
    group = FakeGroup(ONE).ready()
    (upstream,) = group["a"].upstreams
    upstream.received(gap, group.now)
    assert upstream.link.open


@pytest.mark.parametrize("gap", [b"\r\n", b" "])
def test_a_gap_may_come_with_the_next_answer(gap: bytes) -> None:
    group = FakeGroup(ONE).ready()
    for _ in range(2):
        asked = group.submit(b"[AOECHO;AG7;]")
        group.answer(group.upstream_of(asked), gap + b"[AOECHO;AG7;]")
        assert asked.answer == b"[AOECHO;AG7;]"


@pytest.mark.parametrize("stray", [b"[AOECHO;]", b"[AOECHO;", b"["])
def test_what_came_before_a_request_left_is_never_its_answer(stray: bytes) -> None:
    """The device answers the first request twice in one go; the second is handed on while that is being read."""
    group = FakeGroup(ONE).ready()
    first = group.submit(b"[AOECHO;]")
    second = group.submit(b"[AOECHO;]")
    (upstream,) = group["a"].upstreams
    group.answer(upstream, b"[AOECHO;]" + stray)
    assert first.answer == b"[AOECHO;]"
    assert second.answer is None
    assert not upstream.link.open
    assert second.ends == 0, "it never left, so another connection may have it"
    (another,) = group.open("a")
    assert [attempt.exchange for attempt in another.outstanding] == [second.exchange]


def test_half_an_answer_is_no_answer() -> None:
    group = FakeGroup(ONE).ready()
    asked = group.submit(code="GPKD")
    upstream = group.upstream_of(asked)
    group.answer(upstream, b"[AOGPKD;AG")
    upstream.link.lose()  # type: ignore[call-arg]
    assert asked.outcome is Outcome.UNKNOWN
    assert group["a"].outcomes == {"bad_answer": 1}


def test_an_answer_longer_than_allowed_ends_the_connection() -> None:
    group = FakeGroup(ONE, answer=100).ready()
    asked = group.submit(b"[AOGPKD;AG7;]")
    group.answer(group.upstream_of(asked), b"[AOGPKD;AG7;BB" + b"x" * 100)
    assert asked.outcome is Outcome.UNKNOWN


def test_nothing_else_travels_on_somebodys_connection() -> None:
    group = FakeGroup(ONE).ready()
    pin = group.pin()
    assert pin is not None
    private = group.open_private("a")
    (shared,) = group["a"].upstreams
    mine, other = group.exchange(b"[AOECHO;]", [], pin), group.exchange(b"[AOECHO;]", [])
    with pytest.raises(WrongOwner):
        private.send(other, group.now)
    with pytest.raises(WrongOwner):
        shared.send(mine, group.now)
    assert group.outstanding == 0
    assert private.link.queued == shared.link.queued == 0


@pytest.mark.parametrize("framing", [Framing.LENGTH2, Framing.LENGTH4])
class TestWithALength:
    def test_requests_and_answers_carry_it(self, framing: Framing) -> None:
        group = FakeGroup(device_settings("a", role=Role.PRIMARY, framing=framing)).ready()
        asked = group.submit(b"[AOECHO;AG7;]")
        upstream = group.upstream_of(asked)
        group.answer(upstream, encoded(b"[AOECHO;AG7;]", framing))
        assert isinstance(upstream.link, FakeLink)
        assert upstream.link.bytes_sent == encoded(b"[AOECHO;AG7;]", framing)
        assert asked.answer == b"[AOECHO;AG7;]"

    @pytest.mark.parametrize(
        "frame",
        [b"[AOECHO;AG7;][AOECHO;AG8;]", b"[AOECHO;AG7;]x", b"[AOECHO;AG7;", b"\r\n", b"[AOECHO;AG7;]]"],
    )
    def test_a_length_that_does_not_end_with_its_message_is_no_answer(self, framing: Framing, frame: bytes) -> None:
        """A client that finds messages by their brackets would take the rest for its next answer."""
        group = FakeGroup(device_settings("a", role=Role.PRIMARY, framing=framing)).ready()
        asked = group.submit(b"[AOECHO;AG7;]")
        upstream = group.upstream_of(asked)
        group.answer(upstream, encoded(frame, framing))
        assert asked.answer is None
        assert not upstream.link.open


def test_a_request_that_does_not_fit_the_length_leaves_nothing_behind() -> None:
    group = FakeGroup(device_settings("a", role=Role.PRIMARY, framing=Framing.LENGTH2)).ready()
    with pytest.raises(Exception, match="do not fit"):
        group.submit(b"[AOECHO;BB" + b"x" * 70_000 + b";]")
    assert group.outstanding == 0
    assert group["a"].has_room
    asked = group.submit()
    group.answer(group.upstream_of(asked), encoded(b"[AOECHO;AG1;]", Framing.LENGTH2))
    assert asked.outcome is Outcome.OK


def test_a_lost_connection_tells_what_was_outstanding_once_oldest_first() -> None:
    lost: list[list[Attempt]] = []

    class Owner:
        def waited(self, seconds: float) -> None: ...

        def attempt_answered(self, attempt: Attempt, answer: bytes, now: float) -> None: ...

        def upstream_lost(self, upstream: Upstream, reason: str, attempts: list[Attempt], **facts: bool) -> None:
            lost.append(attempts)

    group = FakeGroup(DEEP)
    upstream = Upstream(
        group["a"],
        Owner(),
        framing=Framing.EXCRYPT,
        longest=1000,
        verify_context=True,
        owner=None,
        now=0.0,
    )
    upstream.attach(FakeLink(upstream))  # type: ignore[arg-type]
    attempts = [upstream.send(group.exchange(b"[AOECHO;]", []), 0.0) for _ in range(3)]
    upstream.close("enough")
    upstream.close("again")
    assert lost == [attempts]
