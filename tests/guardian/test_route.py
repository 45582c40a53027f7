"""Which connections a client travels on when its state changes in the middle of something."""

from __future__ import annotations

from balancer.pin import Pin
from balancer.session import Session
from config.model import Queue, Role, Sessions
from tests.support.core import device_settings
from tests.support.parties import Party
from tests.support.strangers import World


def world(*, logins_required: int = 1, hold: float = 30.0) -> World:
    made = World(
        device_settings("a", role=Role.PRIMARY),
        queue=Queue(timeout=2.0),
        sessions=Sessions(logout=("RKLO",), logins_required=logins_required, hold=hold),  # type: ignore[arg-type]
    )
    made.ready(2)
    return made


def logged_in(made: World, certificate: str = "one") -> Party:
    party = made.connect(certificate)
    assert b"ANY" in made.log_in(party)
    return party


def carried(made: World) -> int:
    return sum(line.carried for line in made.open_lines)


def test_who_leaves_before_the_logout_is_answered_leaves_no_connection() -> None:
    made = world()
    party = logged_in(made)
    made.ask(party, "RKLO")
    made.step()
    assert carried(made) == 1
    made.leave(party)
    assert carried(made) == 0
    assert not made.group.pins.all


def test_a_logout_is_no_matter_of_those_who_share_the_session() -> None:
    made = world()
    party, mate = logged_in(made), logged_in(made)
    made.ask(party, "RKLO")
    made.settle()
    assert party.client.kind == "shared"
    assert isinstance(mate.client.route.owner, Session)
    request = made.ask(mate)
    made.settle()
    assert [run.user for run in made.ran(request)] == [b"alice"]


def test_a_login_among_parts_goes_where_the_parts_are() -> None:
    made = world()
    party = logged_in(made)
    made.ask(party, "RSAS", b"BN1;")
    made.settle()
    made.log_in(party, b"bob")
    last = made.ask(party, "RSAS", b"CHstate;BN0;")
    made.settle()
    [run] = made.ran(last)
    assert run.user == b"bob"
    assert run.line.served == {party}
    assert {each.line for each in made.runs if each.code == b"RSAS"} == {run.line}


def test_an_unknown_command_among_parts_does_not_part_them() -> None:
    made = world()
    party = made.connect()
    made.ask(party, "RSAS", b"BN1;")
    made.settle()
    made.ask(party, "QQQQ")
    made.ask(party, "RSAS", b"BN0;")
    made.settle()
    assert len({run.line for run in made.runs}) == 1
    assert party.client.kind == "pinned"


def test_a_client_that_gave_its_session_up_for_a_pin_that_cannot_be_had_is_told() -> None:
    made = world()
    party = logged_in(made)
    made.ask(party, "QQQQ")
    made.wait(2.1)
    party.listen()
    assert b"AM902" in party.heard[-1]
    assert party.link.finishing, "it was logged in, and is not any more"


def test_a_pinned_client_is_logged_in_there_although_its_session_has_ended() -> None:
    made = world()
    party = logged_in(made)
    request = made.ask(party, "QQQQ")
    assert not made.group.sessions.all
    made.settle()
    [run] = made.ran(request)
    assert run.user == b"alice"


def test_no_overwritten_login_reaches_a_device() -> None:
    """The client leaves between the two logins that its own connection needs."""
    made = world(logins_required=2)
    party = logged_in(made)
    assert b"ANY" in made.log_in(party, b"bob")
    assert isinstance(party.client.route.owner, Session)
    made.ask(party, "QQQQ")
    upstream = made.open_private("a")
    made.leave(party)
    assert not upstream.link.open
    assert all(request.startswith(b"[AO") for link in made.links for request in link.sent)


def test_a_wrong_second_login_makes_no_session() -> None:
    made = world(logins_required=2)
    party = logged_in(made)
    assert b"ANN" in made.log_in(party, b"bob", b"wrong")
    assert isinstance(party.client.route.owner, Pin)
    assert not made.group.sessions.all


def test_a_token_or_a_second_step_keep_a_client_where_it_is() -> None:
    for token in (True, False):
        made = world()
        made.token, made.nonces = token, not token
        party = made.connect("one")
        made.log_in(party)
        assert party.client.kind == "pinned"
        made.log_in(party)
        assert party.client.kind == "pinned", "what came of several steps cannot be repeated"


def test_a_hold_that_waited_too_long_does_not_take_the_next_with_it() -> None:
    made = world()
    party = made.connect()
    made.say(party, made.request(party, "RSAS", b"BN1;"), made.request(party, "RSAS", b"BN1;"))
    for pin in made.group.pins.all:
        pin.queue[0].deadline = made.now + 2.0
    made.wait(2.0)
    [pin] = made.group.pins.all
    assert party.client.route._hold is pin
    made.leave(party)
    assert not made.group.pins.all


class TestWhatIsToldOfLogins:
    def test_each_is_told_once_and_by_how_it_ended(self) -> None:
        made = world()
        party = made.connect("one")
        made.log_in(party, password=b"wrong")
        made.log_in(party)
        made.ask(party, "RKLO")
        made.settle()
        assert made.ended == [("RKLG", "refused"), ("RKLG", "ok"), ("RKLO", "logged_out")]

    def test_what_no_device_saw_is_told_too(self) -> None:
        made = World(device_settings("a", role=Role.PRIMARY), sessions=Sessions(failures=1))
        made.ready(2)
        party = made.connect("one")
        made.log_in(party, password=b"wrong")
        made.log_in(party)
        assert made.ended == [("RKLG", "refused"), ("RKLG", "limited")]

    def test_a_login_in_several_steps_goes_on(self) -> None:
        made = world()
        made.nonces = True
        made.log_in(made.connect("one"))
        assert made.ended == [("RKLG", "continued")]

    def test_who_leaves_before_the_answer_is_told_too(self) -> None:
        made = world()
        party = made.connect("one")
        made.say(party, made.login(party))
        made.leave(party)
        made.settle()
        assert made.ended == [("RKLG", "abandoned")]

    def test_a_login_that_is_lost_with_its_device_says_so(self) -> None:
        made = world()
        party = made.connect("one")
        made.say(party, made.login(party))
        made.open_private("a")
        made.flush()
        for line in made.open_lines:
            if line.upstream.owner is not None:
                line.upstream.link.lose()  # type: ignore[attr-defined]
        made.settle()
        assert made.ended == [("RKLG", "unknown")]
