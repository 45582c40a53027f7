from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.snapshot import Outcome
from config.model import Framing, Functions, FunctionsMode, Limits, Queue
from guardian.functions import GroupRules
from tests.support.core import CATALOGUE, FakeGroup, encoded
from tests.support.talk import MALFORMED, ONE, Talk, ask, told


class TestOrder:
    @pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
    def test_answers_come_in_the_order_of_the_requests(self, order: tuple[int, ...]) -> None:
        talk = Talk()
        talk.say(b"".join(ask(n) for n in range(4)))
        for n in order:
            talk.answer(ask(n))
        assert talk.heard == b"".join(told(n) for n in range(4))
        assert not talk.client.busy

    def test_each_is_written_as_soon_as_all_before_it_are(self) -> None:
        talk = Talk()
        talk.say(ask(0) + ask(1) + ask(2))
        talk.answer(ask(1))
        assert talk.heard == b""
        talk.answer(ask(0))
        assert talk.heard == told(0) + told(1)

    @given(cuts=st.lists(st.integers(0, 80), max_size=10))
    def test_requests_may_come_in_any_pieces(self, cuts: list[int]) -> None:
        talk = Talk()
        stream = ask(0) + b"\r\n" + ask(1) + b"[AOGPKD;]" + b" \t" + b"[AOECHO;AG2]" + b"\n"
        edges = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
        for start, end in itertools.pairwise(edges):
            talk.say(stream[start:end])
        for request in (b"[AOECHO;AG2]", ask(1), ask(0)):
            talk.answer(request)
        assert talk.heard == told(0) + told(1) + b"[AOERRO;AM901;ANAO;BBFUNCTION BLOCKED;]" + told(2)

    def test_a_fault_of_ours_costs_its_client_and_not_the_device_connection(self) -> None:
        talk = Talk()
        talk.say(ask(0))

        def broken(_: bytes) -> None:
            raise RuntimeError

        talk.link.write = broken  # type: ignore[method-assign]
        talk.answer(ask(0))
        assert [type(fault) for fault in talk.owner.faults] == [RuntimeError]
        assert talk.owner.gone == [talk.client]
        assert all(upstream.link.open for upstream in talk.group["a"].upstreams)

    def test_what_the_proxy_answers_itself_is_told(self) -> None:
        talk = Talk()
        talk.say(b"[AOGPKD;]" + ask(0) + b"x")
        talk.answer(ask(0))
        assert talk.owner.refused == [Outcome.BLOCKED, Outcome.MALFORMED]

    def test_a_block_is_told_also_where_its_client_leaves_before_it_is_answered(self) -> None:
        talk = Talk()
        talk.say(ask(0) + b"[AOGPKD;]")
        talk.client.close()
        assert talk.owner.refused == []
        assert talk.owner.blocks == ["GPKD"]

    def test_clients_share_connections_and_each_gets_its_own(self) -> None:
        talk = Talk(connections=1)
        other, other_link = talk.connect()
        talk.say(b"[AOECHO;AGsame;]")
        other.received(b"[AOECHO;AGsame;]", talk.group.now)
        (upstream,) = talk.group["a"].upstreams
        talk.group.answer(upstream, b"[AOECHO;AGsame;BB1;]")
        talk.group.answer(upstream, b"[AOECHO;AGsame;BB2;]")
        other_link.flush()
        assert talk.heard == b"[AOECHO;AGsame;BB1;]"
        assert other_link.bytes_sent == b"[AOECHO;AGsame;BB2;]"


class TestPipeline:
    def test_a_client_that_is_owed_enough_is_read_no_further_until_it_is_owed_less(self) -> None:
        talk = Talk(limits=Limits(pipeline=2))
        talk.say(b"".join(ask(n) for n in range(5)))
        assert sorted(talk.reached) == [ask(0), ask(1)]
        assert not talk.link.reading
        talk.answer(ask(1))
        assert not talk.link.reading
        talk.answer(ask(0))
        assert sorted(talk.reached) == [ask(0), ask(1), ask(2), ask(3)]
        talk.answer(ask(2))
        talk.answer(ask(3))
        assert talk.link.reading
        talk.answer(ask(4))
        assert talk.heard == b"".join(told(n) for n in range(5))

    def test_a_pinned_client_whose_pin_fails_gets_an_answer_to_everything(self) -> None:
        talk = Talk(limits=Limits(pipeline=2), queue=Queue(timeout=1.0))
        talk.say(b"[AORKLG;AG%d;]" * 5 % (0, 1, 2, 3, 4))
        for _ in range(5):
            talk.group.wait(1.01)
        assert [talk.heard.count(b"AM902;ANAO;BBNO DEVICE AVAILABLE;AG%d;" % n) for n in range(5)] == [1] * 5
        assert not talk.client.busy


class TestMalformed:
    @pytest.mark.parametrize(
        ("bad", "answer"),
        [
            (b"[AOecho;]", MALFORMED),
            (b"[AOECHO;AG7;AOTIME;]", b"[AOERRO;AM906;ANAO;BBMALFORMED MESSAGE;AG7;]"),
            (b"[[AOECHO;]", MALFORMED),
            (b"x", MALFORMED),
            (b"[AOECHO;BB\x00", MALFORMED),
            (b"[AOECHO;BB" + b"x" * 300_000, b"[AOERRO;AM907;ANAO;BBMESSAGE TOO LONG;]"),
        ],
    )
    def test_it_is_answered_in_its_place_and_what_follows_is_never_looked_at(self, bad: bytes, answer: bytes) -> None:
        talk = Talk()
        talk.say(ask(0) + bad + ask(1))
        talk.say(ask(2))
        assert talk.reached == [ask(0)]
        assert talk.heard == b""
        talk.answer(ask(0))
        assert talk.heard == told(0) + answer
        assert talk.link.finishing
        talk.say(ask(3))
        assert talk.reached == [ask(0)]

    def test_the_connection_lingers_so_that_the_answer_can_be_read(self) -> None:
        talk = Talk()
        talk.say(b"nonsense")
        assert talk.heard == MALFORMED
        assert talk.link.open
        talk.sweep(1.0)
        assert talk.link.open
        talk.sweep(1.5)
        assert not talk.link.open
        assert talk.owner.gone == [talk.client]

    def test_it_is_counted(self) -> None:
        talk = Talk()
        talk.say(b"nonsense")
        assert talk.group.group.commands.other.count.others == {"malformed": 1}


class TestBlocked:
    def test_it_is_answered_in_its_place_and_reaches_no_device(self) -> None:
        talk = Talk()
        talk.say(ask(0) + b"[AOTIME;AGmine;]" + b"[AOZZZ9;]" + ask(1))
        talk.answer(ask(1))
        talk.answer(ask(0))
        assert talk.heard == (
            told(0)
            + b"[AOERRO;AM901;ANAO;BBFUNCTION BLOCKED;AGmine;]"
            + b"[AOERRO;AM901;ANAO;BBFUNCTION BLOCKED;]"
            + told(1)
        )
        assert sorted(talk.reached) == [ask(0), ask(1)]
        assert talk.link.open
        assert not talk.link.finishing

    def test_new_rules_hold_from_the_next_request_on(self) -> None:
        talk = Talk()
        talk.say(ask(0))
        tight = FakeGroup(ONE, functions=Functions(allow=("RAND",)))
        rules = GroupRules(tight.settings, CATALOGUE, talk.group.group.commands).of(None)
        assert rules is not None
        talk.client.rules = rules
        talk.say(ask(1))
        talk.answer(ask(0))
        assert talk.heard == told(0) + b"[AOERRO;AM901;ANAO;BBFUNCTION BLOCKED;AG1;]"
        assert talk.reached == [ask(0)]

    def test_what_is_only_noticed_goes_through(self) -> None:
        talk = Talk(functions=Functions(mode=FunctionsMode.DETECT, block=("ECHO",)))
        talk.say(ask(0))
        assert talk.reached == [ask(0)]
        assert talk.owner.noticed == ["ECHO"]

    def test_a_login_that_is_blocked_pins_nobody(self) -> None:
        talk = Talk(functions=Functions(block=("RKLG",)))
        talk.say(b"[AORKLG;DAme;CHsecret;]")
        assert talk.client.route.owner is None
        assert not talk.group.group.pins.all
        assert talk.reached == []


class TestWithALength:
    @pytest.mark.parametrize("framing", [Framing.LENGTH2, Framing.LENGTH4])
    def test_requests_and_answers_carry_it(self, framing: Framing) -> None:
        talk = Talk(framing=framing)
        stream = encoded(ask(0), framing) + encoded(b"[AOGPKD;]", framing)
        for n in range(len(stream)):
            talk.say(stream[n : n + 1])
        talk.answer(ask(0))
        assert talk.heard == encoded(told(0), framing) + encoded(b"[AOERRO;AM901;ANAO;BBFUNCTION BLOCKED;]", framing)

    def test_an_answer_that_its_length_cannot_say_is_not_skipped(self) -> None:
        """Else the client would take the next answer for it."""
        talk = Talk(framing=Framing.LENGTH2)
        talk.say(encoded(ask(0), Framing.LENGTH2) + encoded(ask(1), Framing.LENGTH2))
        upstream = talk.outstanding()[ask(0)]
        talk.answer(ask(1))
        talk.group.answer(upstream, b"[AOECHO;AG0;BB" + b"x" * 70_000 + b";]")
        assert upstream.link.open, "it is not the device's fault"
        assert talk.heard.startswith(encoded(b"[AOERRO;AM907;ANAO;BBMESSAGE TOO LONG;AG0;]", Framing.LENGTH2))
        assert talk.link.finishing
        assert talk.group.outstanding == 0

    def test_not_even_where_the_repeated_text_is_what_makes_it_long(self) -> None:
        talk = Talk(framing=Framing.LENGTH2)
        request = b"[AOECHO;AG" + b"x" * 65_000 + b";]"
        talk.say(encoded(request, Framing.LENGTH2))
        upstream = talk.outstanding()[request]
        talk.group.answer(upstream, request[:-1] + b"BB" + b"y" * 1000 + b";]")
        assert upstream.link.open
        assert talk.heard == encoded(b"[AOERRO;AM907;ANAO;BBMESSAGE TOO LONG;]", Framing.LENGTH2)


def test_every_end_is_counted_once_by_command_and_outcome() -> None:
    talk = Talk()
    talk.say(ask(0) + b"[AOTIME;]" + b"[AOZZZ9;]")
    talk.group.answer(talk.outstanding()[ask(0)], b"[AOERRO;AM1;AG0;]")
    counts = {snapshot.command: dict(snapshot.outcomes) for snapshot in talk.group.group.commands.snapshot()}
    assert counts["ECHO"] == {"ok": 0, Outcome.DEVICE_ERROR.value: 1}
    assert counts["TIME"] == {"ok": 0, Outcome.BLOCKED.value: 1}
    assert counts["other"] == {"ok": 0, Outcome.BLOCKED.value: 1}


class TestLoudClients:
    """Who sends much that needs no device to be answered must not keep the others waiting."""

    def test_so_many_are_looked_at_and_then_others_have_their_turn(self) -> None:
        talk = Talk()
        talk.say(b"[AOGPKD;]" * 1000)
        blocked = b"[AOERRO;AM901;ANAO;BBFUNCTION BLOCKED;]"
        turns = 1
        assert talk.heard.count(blocked) <= 64
        assert not talk.link.reading
        while talk.link.resting:
            before = talk.heard.count(blocked)
            talk.next_batch()
            assert talk.heard.count(blocked) - before <= 64
            turns += 1
        assert talk.heard == blocked * 1000
        assert turns >= 1000 // 64
        assert talk.link.reading
        talk.say(ask(0))
        talk.answer(ask(0))
        assert talk.heard.endswith(told(0))

    def test_an_answer_that_comes_meanwhile_changes_nothing_about_that(self) -> None:
        talk = Talk(limits=Limits(pipeline=500))
        talk.say(ask(0) + b"[AOGPKD;]" * 200)
        assert len(talk.owner.blocks) == 63
        talk.answer(ask(0))
        assert len(talk.owner.blocks) == 63
        talk.next_batch()
        assert len(talk.owner.blocks) == 63 + 64

    def test_who_leaves_while_others_have_their_turn_is_gone(self) -> None:
        talk = Talk()
        talk.say(b"[AOGPKD;]" * 200)
        talk.client.close()
        talk.next_batch()
        assert len(talk.owner.blocks) == 64
