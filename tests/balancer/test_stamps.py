from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.snapshot import Outcome
from balancer.stamps import EchoTrial, Stamps
from balancer.wire.errors import MessageTooLong
from config.model import Framing, Role
from tests.support.core import FakeGroup, device_settings, encoded

ONE = device_settings("a", role=Role.PRIMARY)
DEEP = device_settings("a", role=Role.PRIMARY, pipeline=4)
PREFIX = b"7F3A99C2"


def injecting(device: object = ONE, **settings: object) -> FakeGroup:
    group = FakeGroup(device, **settings)  # type: ignore[arg-type]
    group.stamp = PREFIX
    return group.ready()


def left(group: FakeGroup) -> list[bytes]:
    group.flush()
    return [data for link in group.links for data in link.sent]


class TestStamps:
    def test_each_request_has_a_text_of_its_own(self) -> None:
        stamps = Stamps(PREFIX, Framing.EXCRYPT)
        sent = [stamps.put(b"[AOECHO;]", None, as_it_is=False) for _ in range(500)]
        assert len(set(sent)) == 500
        for request in sent:
            assert stamps.take(request, b"ECHO", None) == b"[AOECHO;]"

    def test_it_is_short_and_of_capital_letters_and_digits(self) -> None:
        sent = Stamps(PREFIX, Framing.EXCRYPT).put(b"[AOECHO;]", None, as_it_is=False)
        text = sent[len(b"[AOECHO;AG") : -2]
        assert text.isalnum()
        assert text.upper() == text
        assert len(text) <= 12

    @given(st.integers(65_500, 65_535))
    def test_what_would_become_too_long_is_sent_as_it_is_and_verified(self, size: int) -> None:
        stamps = Stamps(PREFIX, Framing.LENGTH2)
        request = b"[AOECHO;AGx;BB" + b"y" * (size - 16) + b";]"
        assert len(request) == size
        sent = stamps.put(request, b"x", as_it_is=False)
        assert len(sent) <= 65_535
        assert (sent == request) == (size + 8 > 65_535)
        assert stamps.take(sent, b"ECHO", b"x") == request

    def test_what_is_too_long_itself_leaves_nothing_behind(self) -> None:
        stamps = Stamps(PREFIX, Framing.LENGTH2)
        with pytest.raises(MessageTooLong):
            stamps.put(b"[AOECHO;BB" + b"y" * 65_536 + b";]", None, as_it_is=False)
        sent = stamps.put(b"[AOECHO;]", None, as_it_is=False)
        assert stamps.take(sent, b"ECHO", None) == b"[AOECHO;]"


class TestOnAConnection:
    @pytest.mark.parametrize("request_", [b"[AOECHO;]", b"[AOECHO;AGmine;BB1;]", b"[AOECHO;AG;]", b"[AOECHO]"])
    def test_the_client_gets_what_the_device_would_have_answered(self, request_: bytes) -> None:
        group = injecting()
        asked = group.submit(request_)
        (sent,) = left(group)
        assert sent != request_
        assert b";AG" + PREFIX in sent
        group.answer(group.upstream_of(asked), sent)
        assert asked.outcome is Outcome.OK
        assert asked.answer == request_

    def test_an_error_is_taken_for_the_answer_where_it_repeats_our_text(self) -> None:
        group = injecting()
        asked = group.submit(b"[AOECHO;]")
        (sent,) = left(group)
        group.answer(group.upstream_of(asked), b"[AOERRO;AM1;" + sent[8:])
        assert asked.outcome is Outcome.DEVICE_ERROR
        assert asked.answer == b"[AOERRO;AM1;]"

    @pytest.mark.parametrize("answer", [b"[AOECHO;]", b"[AOECHO;AGmine;]", b"[AORAND;AG7F3A99C20;]", b"[AOERRO;AM1;]"])
    def test_anything_else_ends_the_connection_and_is_given_to_nobody(self, answer: bytes) -> None:
        group = injecting()
        asked = group.submit(b"[AOECHO;AGmine;]")
        upstream = group.upstream_of(asked)
        group.answer(upstream, answer)
        assert not upstream.link.open
        assert asked.answer is None
        assert group["a"].outcomes == {"bad_answer": 1}

    def test_a_ping_goes_as_it_is(self) -> None:
        group = injecting()
        ping = group.exchange(b"[AOECHO;AGping;]", [], ping=True)
        ends: list[object] = []
        ping.done = ends.append
        group.group.send_ping(group["a"], ping, group.now)
        assert left(group) == [b"[AOECHO;AGping;]"]
        group.answer(next(iter(group["a"].upstreams)), b"[AOECHO;AGping;]")
        assert ends

    def test_pings_and_requests_may_be_mixed_on_one_connection(self) -> None:
        group = injecting(DEEP)
        first = group.submit(b"[AOECHO;]")
        ping = group.exchange(b"[AOECHO;AGping;]", [], ping=True)
        ping.done = lambda _: None
        group.group.send_ping(group["a"], ping, group.now)
        second = group.submit(b"[AOECHO;AG2;]")
        upstream = group.upstream_of(first)
        group.flush()
        upstream.received(b"".join(left(group)), group.now)
        assert (first.answer, ping.answer, second.answer) == (b"[AOECHO;]", b"[AOECHO;AGping;]", b"[AOECHO;AG2;]")

    def test_with_a_length(self) -> None:
        group = injecting(device_settings("a", role=Role.PRIMARY, framing=Framing.LENGTH2))
        asked = group.submit(b"[AOECHO;]")
        (sent,) = left(group)
        assert sent == encoded(sent[2:], Framing.LENGTH2)
        group.answer(group.upstream_of(asked), sent)
        assert asked.answer == b"[AOECHO;]"

    def test_a_late_repeat_is_told_from_the_next_answer(self) -> None:
        """The gap that `verify` has, and that this closes."""
        for stamp, right in ((None, False), (PREFIX, True)):
            group = FakeGroup(ONE)
            group.stamp = stamp
            group.ready()
            upstream = next(iter(group["a"].upstreams))
            group.submit(b"[AOGHSH;RG4;BO00;]")
            (sent,) = left(group)
            first_answer = sent[:-1] + b"CF00;]"
            group.answer(upstream, first_answer)
            second = group.submit(b"[AOGHSH;RG4;BO11;]")
            group.flush()
            group.answer(upstream, first_answer)  # again, instead of an answer to the second
            assert (second.answer is None) is right
            assert upstream.link.open is not right


class TestTrial:
    def trial(self, framing: Framing = Framing.EXCRYPT) -> tuple[EchoTrial, list[bool | None]]:
        ends: list[bool | None] = []
        trial = EchoTrial(PREFIX, framing, 1000, lambda: ends.append(trial.echoes))
        return trial, ends

    @pytest.mark.parametrize("framing", Framing)
    def test_a_device_that_repeats_it(self, framing: Framing) -> None:
        trial, ends = self.trial(framing)
        for n in range(len(trial.request)):
            assert not ends
            trial.received(trial.request[n : n + 1], 0.0)
        assert ends == [True]

    @pytest.mark.parametrize(
        ("answer", "verdict"),
        [
            (b"[AOECHO;]", False),
            (b"[AOECHO;AGother;]", False),
            (b"[AOERRO;AM1;ANAG;BBINVALID TAG;]", False),
            (b"[AOERRO;AM1;AG" + PREFIX + b"TRY;]", False),
            (b"[AOTIME;]", None),
            (b"x", None),
            (b"[AOECHO;AG" + PREFIX + b"TRY;][AOECHO;]", None),
            (b"[AOECHO;AG" + PREFIX + b"TRY;][", None),
            (b"[" + b"x" * 1001, None),
        ],
    )
    def test_a_device_that_does_not(self, answer: bytes, verdict: bool | None) -> None:
        trial, ends = self.trial()
        trial.received(answer, 0.0)
        assert ends == [verdict]
        assert trial.echoes is verdict

    @pytest.mark.parametrize("more", [b"[AOECHO;]", b"[", b"x"])
    def test_bytes_that_follow_spoil_the_connection(self, more: bytes) -> None:
        trial, _ = self.trial()
        trial.received(trial.request, 0.0)
        assert trial.echoes
        trial.received(more, 0.0)
        assert trial.echoes is None

    def test_a_connection_that_breaks(self) -> None:
        trial, ends = self.trial()
        trial.lost("closed by the peer")
        assert ends == [None]
