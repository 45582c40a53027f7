"""Clients whose commands are known to nobody, on a device of their own."""

from __future__ import annotations

import pytest

from config.model import Functions, Role, Sessions
from tests.support.core import device_settings
from tests.support.talk import Talk, ask, told


class TestPinning:
    @pytest.mark.parametrize("first", [b"[AORKLG;DAme;]", b"[AOZZZ1;]"])
    def test_what_may_change_the_session_moves_the_client_to_a_connection_of_its_own(self, first: bytes) -> None:
        talk = Talk()
        talk.say(ask(0) + first + ask(1))
        assert not talk.group.keepers[talk.group["a"]].wanted, "what came before it is not answered yet"
        talk.answer(ask(0))
        private = talk.group.open_private("a")
        assert list(talk.outstanding()) == [first], "nothing passes it"
        assert talk.outstanding()[first] is private
        assert talk.client.kind == "pinned"
        talk.answer(first)
        assert talk.outstanding()[ask(1)] is private
        talk.answer(ask(1))
        assert not talk.client.busy
        assert talk.link.reading

    @pytest.mark.parametrize("last", [b"[AORSAS;CHstate;BN0;]", b"[AORSAS;BN0;]", b"[AORSAS;]"])
    def test_parts_travel_on_one_connection_that_ends_with_the_last(self, last: bytes) -> None:
        talk = Talk()
        for part in (b"[AORSAS;BN1;AG1;]", b"[AORSAS;BN1;CHstate;AG2;]"):
            talk.say(part)
            if part.endswith(b"AG1;]"):
                private = talk.group.open_private("a")
            assert talk.outstanding()[part] is private
            talk.answer(part)
        talk.say(ask(0))
        assert talk.outstanding()[ask(0)] is not private
        talk.answer(ask(0))
        talk.say(last)
        assert talk.outstanding()[last] is private
        talk.answer(last)
        assert not private.link.open
        assert talk.client.kind == "shared"
        assert not talk.link.finishing

    def test_a_lost_part_ends_the_client_so_that_the_next_is_not_taken_for_a_first_one(self) -> None:
        talk = Talk(device_settings("a", role=Role.PRIMARY), device_settings("b"))
        talk.say(b"[AORSAS;BN1;AG1;]")
        [pin] = talk.group.group.pins.all
        assert pin.device is not None
        private = talk.group.open_private(pin.device.name)
        talk.answer(b"[AORSAS;BN1;AG1;]")
        talk.group.lose(private)
        assert talk.link.finishing
        talk.say(b"[AORSAS;CHstate;AG2;]")
        assert b"[AORSAS;CHstate;AG2;]" not in talk.reached

    def test_a_part_that_never_comes_ends_the_client(self) -> None:
        talk = Talk(sessions=Sessions(hold=30.0))
        talk.say(b"[AORSAS;BN1;]")
        private = talk.group.open_private("a")
        talk.answer(b"[AORSAS;BN1;]")
        talk.sweep(29.0)
        assert not talk.link.finishing
        talk.sweep(2.0)
        assert talk.link.finishing
        talk.link.lose()
        assert not private.link.open

    @pytest.mark.parametrize("first", [b"[AORSAS;BN0;]", b"[AORSAS;CH;]", b"[AORSAS;]", b"[AOECHO;BN1;]"])
    def test_what_cannot_change_it_stays_on_shared_ones(self, first: bytes) -> None:
        talk = Talk()
        talk.say(first)
        assert talk.client.kind == "shared"
        assert talk.reached == [first]

    def test_another_client_is_never_sent_on_that_connection(self) -> None:
        talk = Talk()
        talk.say(b"[AORKLG;DAme;]")
        private = talk.group.open_private("a")
        talk.answer(b"[AORKLG;DAme;]")
        other, _ = talk.connect()
        for n in range(20):
            other.received(ask(n), talk.group.now)
        assert not private.outstanding

    def test_the_connection_dies_with_its_client(self) -> None:
        talk = Talk()
        talk.say(b"[AORKLG;DAme;]")
        private = talk.group.open_private("a")
        talk.link.lose()
        assert not private.link.open
        assert not talk.group.group.pins.all
        assert talk.group.outstanding == 0
        assert talk.owner.gone == [talk.client]

    def test_a_lost_login_is_told_and_ends_the_client(self) -> None:
        talk = Talk()
        talk.say(b"[AORKLG;DAme;]")
        private = talk.group.open_private("a")
        talk.answer(b"[AORKLG;DAme;]")
        talk.say(ask(0) + ask(1))
        talk.group.lose(private)
        talk.say(ask(2))
        assert talk.heard == (
            b"[AORKLG;BBY;]"
            b"[AOERRO;AM909;ANAO;BBLOGIN LOST;AG0;]"
            b"[AOERRO;AM909;ANAO;BBLOGIN LOST;AG1;]"
        )  # fmt: skip
        assert talk.link.finishing

    def test_a_write_in_doubt_is_told_as_such_and_ends_a_pinned_client(self) -> None:
        talk = Talk(functions=Functions())
        talk.say(b"[AORKLG;DAme;]")
        private = talk.group.open_private("a")
        talk.answer(b"[AORKLG;DAme;]")
        talk.say(b"[AOGPKD;AG1;]")
        talk.group.lose(private)
        assert talk.heard == b"[AORKLG;BBY;]" + b"[AOERRO;AM903;ANAO;BBOUTCOME UNKNOWN;AG1;]"
        assert talk.link.finishing

    def test_a_login_lost_while_nothing_is_owed_ends_the_client(self) -> None:
        talk = Talk()
        talk.say(b"[AORKLG;DAme;]")
        private = talk.group.open_private("a")
        talk.answer(b"[AORKLG;DAme;]")
        talk.group.lose(private)
        assert talk.link.finishing

    def test_a_client_that_found_no_device_may_go_on(self) -> None:
        talk = Talk(device_settings("a", role=Role.PRIMARY, private=0))
        talk.say(b"[AORKLG;AG1;]" + ask(2))
        talk.answer(ask(2))
        assert talk.heard == b"[AOERRO;AM902;ANAO;BBNO DEVICE AVAILABLE;AG1;]" + told(2)
        assert talk.client.kind == "shared"
        assert not talk.link.finishing
