from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.exchange import Exchange
from balancer.snapshot import Outcome
from config.model import DEFAULT_ERRORS, Framing, Functions, FunctionsMode, Limits, Queue, Role, Sessions
from guardian.answers import Answers
from guardian.client import Client, ClientSettings
from guardian.functions import GroupRules
from tests.support.core import CATALOGUE, FakeGroup, FakeLink, device_settings, encoded

ONE = device_settings("a", role=Role.PRIMARY, connections=8)
MALFORMED = b"[AOERRO;AM906;ANAO;BBMALFORMED MESSAGE;]"


class Listener:
    """Who owns the clients of a test."""

    def __init__(self) -> None:
        self.draining = False
        self.gone: list[Client] = []
        self.noticed: list[str] = []
        self.refused: list[Outcome] = []
        self.blocks: list[str] = []
        self.logins: list[tuple[str, str]] = []
        self.faults: list[Exception] = []

    def client_gone(self, client: Client) -> None:
        self.gone.append(client)

    def would_block(self, client: Client, code: str) -> None:
        self.noticed.append(code)

    def refused_request(self, client: Client, exchange: Exchange) -> None:
        self.refused.append(exchange.outcome)

    def blocked(self, client: Client, code: str) -> None:
        self.blocks.append(code)

    def login_ended(self, client: Client, code: str, result: str) -> None:
        self.logins.append((code, result))

    def client_fault(self, client: Client, exc: Exception) -> None:
        self.faults.append(exc)
        client.close()


class Talk:
    """One client in front of a group of fake devices."""

    def __init__(
        self,
        *devices: Any,
        connections: int = 8,
        framing: Framing = Framing.EXCRYPT,
        limits: Limits | None = None,
        **settings: Any,
    ) -> None:
        settings.setdefault("functions", Functions(block=("TIME", "GPKD", "ZZZ9")))
        self.group = FakeGroup(*(devices or (ONE,)), **settings).ready(connections)
        self.owner = Listener()
        self.limits = limits or Limits()
        self.framing = framing
        self.client, self.link = self.connect()

    def connect(self) -> tuple[Client, FakeLink]:
        rules = GroupRules(self.group.settings, CATALOGUE, self.group.group.commands).of(None)
        assert rules is not None
        settings = ClientSettings(
            framing=self.framing, limits=self.limits, answers=Answers(DEFAULT_ERRORS), longest=self.limits.message
        )
        client = Client(self.owner, self.group.group, rules, settings, None, self.group.now)
        link = FakeLink(client)
        client.attach(link)  # type: ignore[arg-type]
        return client, link

    def say(self, data: bytes) -> None:
        self.client.received(data, self.group.now)

    @property
    def heard(self) -> bytes:
        self.link.flush()
        return self.link.bytes_sent

    @property
    def reached(self) -> list[bytes]:
        """Every request that left for a device, in the order of its leaving per connection."""
        self.group.flush()
        return [request for link in self.group.links for request in link.sent]

    def outstanding(self) -> dict[bytes, Any]:
        """Connections by the request outstanding there."""
        return {
            attempt.exchange.request: upstream
            for device in self.group.group.devices
            for upstream in (*device.upstreams, *device.private)
            for attempt in upstream.outstanding
        }

    def answer(self, request: bytes) -> None:
        self.group.answer(self.outstanding()[request])

    def sweep(self, seconds: float) -> None:
        self.group.now += seconds
        self.client.sweep(self.group.now)


def ask(n: int) -> bytes:
    return b"[AOECHO;AG%d;]" % n


def told(n: int) -> bytes:
    return b"[AOECHO;AG%d;BBY;]" % n


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

    def test_what_is_answered_in_place_is_bounded_by_nothing_but_what_was_read(self) -> None:
        talk = Talk(limits=Limits(pipeline=2))
        talk.say(b"[AOGPKD;]" * 500)
        assert talk.heard.count(b"FUNCTION BLOCKED") == 500
        assert talk.link.reading

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
