"""How a client's connection ends: by itself, by its peer, by a limit, by a drain."""

from __future__ import annotations

import pytest

from config.model import Limits
from tests.support.talk import Talk, ask, told


class TestEnds:
    def test_a_client_that_leaves_is_forgotten_and_its_answers_with_it(self) -> None:
        talk = Talk()
        talk.say(ask(0) + ask(1))
        talk.link.lose()
        talk.answer(ask(0))
        talk.answer(ask(1))
        assert talk.heard == b""
        assert talk.group.outstanding == 0
        assert talk.owner.gone == [talk.client]

    def test_half_a_message_reaches_nobody(self) -> None:
        talk = Talk()
        talk.say(b"[AOECHO;AG")
        talk.link.lose()
        assert talk.reached == []

    def test_one_that_asks_for_no_more_gets_what_it_is_owed_and_is_then_finished(self) -> None:
        talk = Talk()
        talk.say(ask(0) + ask(1))
        assert talk.client.peer_ended()
        talk.answer(ask(1))
        assert not talk.link.finishing
        talk.answer(ask(0))
        assert talk.heard == told(0) + told(1)
        assert talk.link.finishing

    def test_one_that_ends_with_half_a_message_gets_the_answers_to_whole_ones(self) -> None:
        talk = Talk()
        talk.say(ask(0) + ask(1)[:-3])
        assert talk.client.peer_ended()
        talk.answer(ask(0))
        assert talk.heard == told(0)
        assert talk.reached == [ask(0)]
        assert talk.link.finishing

    def test_one_that_has_not_taken_all_answers_yet_is_finished_and_not_lost(self) -> None:
        talk = Talk()
        talk.say(ask(0))
        talk.answer(ask(0))
        assert talk.link.unsent
        assert talk.client.peer_ended()
        assert talk.link.finishing
        assert talk.heard == told(0)

    def test_one_that_is_owed_nothing_is_gone_with_its_end(self) -> None:
        talk = Talk()
        talk.say(ask(0)[:-3])
        assert not talk.client.peer_ended()

    def test_one_that_is_to_leave_goes_when_it_is_quiet_and_not_before_its_moment(self) -> None:
        talk = Talk()
        talk.client.leave_from(talk.group.now + 10.0, quiet=1.0)
        talk.sweep(9.0)
        assert not talk.link.finishing
        talk.say(ask(0))
        talk.sweep(2.0)
        assert not talk.link.finishing, "it is owed an answer"
        talk.answer(ask(0))
        assert talk.heard == told(0)
        talk.say(ask(1))
        talk.answer(ask(1))
        assert talk.heard == told(0) + told(1)
        talk.sweep(0.5)
        assert not talk.link.finishing, "the next request may be on its way"
        talk.say(ask(2)[:-3])
        talk.sweep(2.0)
        assert not talk.link.finishing, "half a message is there"
        talk.say(ask(2)[-3:])
        talk.answer(ask(2))
        assert talk.heard.endswith(told(2))
        talk.sweep(1.5)
        assert talk.link.finishing

    def test_an_idle_client_is_let_go(self) -> None:
        talk = Talk(limits=Limits(idle=60.0))
        talk.sweep(59.0)
        assert not talk.link.finishing
        talk.sweep(2.0)
        assert talk.link.finishing

    def test_one_that_is_owed_an_answer_is_not_idle(self) -> None:
        talk = Talk(limits=Limits(idle=60.0))
        talk.say(ask(0))
        talk.sweep(120.0)
        assert not talk.link.finishing

    def test_a_message_that_drips_in_has_a_deadline(self) -> None:
        talk = Talk(limits=Limits(message_time=30.0))
        for byte in b"[AOECHO;AG" + b"x" * 40:
            if not talk.link.open:
                break
            talk.say(bytes([byte]))
            talk.sweep(1.0)
        assert not talk.link.open
        assert talk.group.now == pytest.approx(1031.0, abs=1.0)

    def test_many_whole_messages_in_pieces_have_no_common_deadline(self) -> None:
        talk = Talk(limits=Limits(message_time=30.0))
        for n in range(60):
            talk.say(ask(n)[3:] + b"[AO" if n else ask(n) + b"[AO")
            talk.answer(ask(n))
            talk.sweep(1.0)
        assert talk.link.open

    def test_a_client_that_does_not_take_its_answers_is_let_go(self) -> None:
        talk = Talk(limits=Limits(message_time=30.0))
        talk.say(ask(0))
        talk.answer(ask(0))
        assert talk.link.unsent
        for _ in range(30):
            talk.sweep(1.0)
        assert talk.link.open
        talk.sweep(2.0)
        assert not talk.link.open

    def test_one_that_leaves_much_untaken_is_read_no_further_until_it_takes_it(self) -> None:
        talk = Talk()
        talk.say(b"[AOECHO;AG1;]")
        (upstream,) = (talk.outstanding()[b"[AOECHO;AG1;]"],)
        talk.group.answer(upstream, b"[AOECHO;AG1;BB" + b"x" * 300_000 + b";]")
        assert not talk.link.reading
        talk.link.flush()
        talk.client.sent_all()
        assert talk.link.reading

    def test_the_end_of_service_waits_for_what_is_owed(self) -> None:
        talk = Talk()
        talk.say(ask(0))
        talk.client.end()
        talk.say(ask(1))
        assert not talk.link.finishing
        talk.answer(ask(0))
        assert talk.heard == told(0)
        assert talk.link.finishing

    def test_after_the_end_nothing_more_is_taken(self) -> None:
        talk = Talk()
        talk.client.end()
        assert talk.link.finishing
        talk.say(ask(1))
        assert talk.reached == []
        assert not talk.client.busy

    def test_what_arrives_while_draining_is_told_so_after_what_is_owed(self) -> None:
        talk = Talk()
        talk.say(ask(0))
        talk.owner.draining = True
        talk.say(ask(1))
        talk.answer(ask(0))
        assert talk.heard == told(0) + b"[AOERRO;AM908;ANAO;BBSHUTTING DOWN;AG1;]"
        assert talk.reached == [ask(0)]
        assert talk.link.finishing
