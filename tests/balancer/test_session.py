"""A session on devices that know who is logged in where."""

from __future__ import annotations

from typing import Any

from balancer.exchange import Exchange
from balancer.session import Session
from balancer.snapshot import Outcome
from balancer.wire.message import parse_request
from config.model import Queue, Role, Sessions, Writes, WritesMode
from tests.support.core import device_settings
from tests.support.parties import Line, Party
from tests.support.strangers import World


def world(*names: str, pipeline: int = 1, outstanding: int = 8, private: int = 8, **settings: Any) -> World:
    made = World(
        *(
            device_settings(
                name,
                role=Role.PRODUCTION if n else Role.PRIMARY,
                connections=2,
                pipeline=pipeline,
                outstanding=outstanding,
                private=private,
            )
            for n, name in enumerate(names or ("a", "b"))
        ),
        sessions=Sessions(**settings),
        writes=Writes(mode=WritesMode.BALANCE),
        queue=Queue(timeout=2.0),
    )
    made.ready(2)
    return made


def logged_in(made: World, certificate: str | None = "one") -> tuple[Party, Session]:
    party = made.connect(certificate)
    assert b"ANY" in made.log_in(party)
    session = party.client.route.owner
    assert isinstance(session, Session)
    return party, session


def lines_of(made: World, session: Session) -> list[Line]:
    return [line for line in made.open_lines if line.upstream.owner is session]


def bound(session: Session, code: bytes = b"GPKD") -> tuple[Exchange, list[Outcome]]:
    ends: list[Outcome] = []
    request = b"[AO%b;]" % code
    command = session._sessions._group.commands.find(parse_request(request)[0])
    exchange = Exchange(request, code, None, command, session, lambda each: ends.append(each.outcome), 1000.0)
    exchange.bound = True
    exchange.deadline = exchange.wait_until = 1100.0
    return exchange, ends


class TestConnections:
    def test_no_more_to_a_device_than_it_may_have(self) -> None:
        made = world()
        party, session = logged_in(made)
        made.say(party, *(made.request(party, "ECHO") for _ in range(8)))
        made.settle()
        assert len(party.heard) == 9
        assert all(len(lane.upstreams) <= 2 for lane in session.lanes.values())

    def test_none_is_asked_for_where_no_descriptor_is_left(self) -> None:
        made = world()
        party, _ = logged_in(made)
        made.group.pins.may_open = lambda: False
        made.say(party, *(made.request(party, "ECHO") for _ in range(4)))
        assert not made.wanted
        made.settle()
        assert len(party.heard) == 5

    def test_one_that_is_worn_is_closed_when_nothing_is_outstanding_there(self) -> None:
        made = world("a", max_requests=3)
        party, session = logged_in(made)
        for _ in range(3):
            assert len(lines_of(made, session)) == 1
            made.ask(party)
            made.settle()
        assert not lines_of(made, session)
        made.ask(party)
        made.settle()
        assert party.heard[-1].startswith(b"[AOECHO")

    def test_idle_and_old_ones_are_closed(self) -> None:
        made = world("a", idle=5.0, max_age=8.0)
        party, session = logged_in(made)
        made.wait(5.0)
        assert not lines_of(made, session)
        for _ in range(2):
            made.ask(party)
            made.settle()
            made.wait(4.0)
        assert not lines_of(made, session)

    def test_a_request_waits_for_room_that_others_take_and_gets_it(self) -> None:
        made = world("a", outstanding=1)
        party, _ = logged_in(made)
        stranger = made.connect()
        made.ask(stranger)
        request = made.ask(party)
        assert not made.ran(request)
        made.step()
        made.step()
        assert len(made.ran(request)) == 1, "room that an anonymous client left is handed on to sessions too"


class TestLogins:
    def test_an_expired_one_is_repeated_and_the_request_runs_once(self) -> None:
        made = world("a")
        party, session = logged_in(made)
        made.expire(lines_of(made, session)[0])
        request = made.ask(party, "GPKD")
        made.settle()
        assert len(made.ran(request)) == 1
        assert party.heard[-1].startswith(b"[AOGPKD")
        assert made.group.sessions.results["expired"] == 1

    def test_refused_again_the_client_is_told_909_and_has_to_go(self) -> None:
        made = world("a")
        party, session = logged_in(made)
        made.expire(lines_of(made, session)[0])
        made.passwords["a"][b"alice"] = b"new"
        request = made.ask(party)
        made.settle()
        assert not made.ran(request)
        assert b"AM909" in party.heard[-1]
        assert party.link.finishing

    def test_a_connection_lost_while_it_is_logged_in_again_sends_the_request_elsewhere_once(self) -> None:
        made = world()
        party, session = logged_in(made)
        [line] = lines_of(made, session)
        made.expire(line)
        request = made.ask(party, "GPKD")
        assert line.upstream.outstanding, "no other connection is there yet"
        while not made.group.sessions.results.get("expired"):
            made.run(line)
            made.deliver(line)
        made.lose(line.upstream)
        made.settle()
        [run] = made.ran(request)
        assert run.line is not line
        assert party.heard[-1].startswith(b"[AOGPKD")

    def test_a_request_that_a_device_has_read_is_never_told_that_none_has(self) -> None:
        """902 and 904 would say so."""
        made = world("a", "b")
        party, session = logged_in(made)
        [line] = lines_of(made, session)
        made.expire(line)
        made.ask(party, "GPKD")
        while not made.group.sessions.results.get("expired"):
            made.run(line)
            made.deliver(line)
        for each in tuple(made.open_lines):
            made.lose(each.upstream)
        for device in made.group.devices:
            device.tracker.distrust("another certificate", made.now)
            made.group.changed(device)
        for _ in range(80):
            made.sweep(0.5)
        party.listen()
        assert b"AM903" in party.heard[-1]

    def test_where_one_device_refuses_it_the_others_go_on(self) -> None:
        made = world(pipeline=1)
        party, session = logged_in(made)
        [line] = lines_of(made, session)
        other = "b" if line.device == "a" else "a"
        made.passwords[other][b"alice"] = b"new"
        for _ in range(5):
            made.say(party, *(made.request(party, "ECHO") for _ in range(4)))
            made.settle()
        assert all(answer.startswith((b"[AOECHO", b"[AORKLG")) for answer in party.heard)
        assert made.group.sessions.results["replay_refused"] == 1
        assert {run.line.device for run in made.runs if run.code == b"ECHO"} == {line.device}

    def test_who_waits_for_the_last_connection_is_told_when_it_is_lost(self) -> None:
        made = world("a")
        party, session = logged_in(made)
        mate = made.connect("one")
        made.log_in(mate)
        first, *others = lines_of(made, session)
        for line in others:
            made.lose(line.upstream)
        session.refused_until = made.now + 60.0
        made.say(party, made.request(party, "GPKD"))
        made.ask(mate)
        made.lose(first.upstream)
        for each in (party, mate):
            each.listen()
        assert b"AM903" in party.heard[-1]
        assert b"AM909" in mate.heard[-1]


class TestBound:
    def test_it_asks_again_when_a_connection_could_not_be_had(self) -> None:
        made = world()
        _, session = logged_in(made)
        [line] = lines_of(made, session)
        other = made["b" if line.device == "a" else "a"]
        exchange, ends = bound(session)
        session.submit_to(other, exchange, made.now)
        made.fail_to_open(other.name)
        assert made.wanted == [other]
        made.open_private(other.name)
        upstream = next(iter(session.lanes[other].upstreams))
        made.answer(upstream, b"[AORKLG;AGlogin;ANY;]")
        made.answer(upstream, b"[AOGPKD;BBY;]")
        assert ends == [Outcome.OK]

    def test_it_is_known_that_its_device_has_read_it_also_where_no_login_came_of_that(self) -> None:
        made = world()
        _, session = logged_in(made)
        [line] = lines_of(made, session)
        exchange, ends = bound(session)
        made.expire(line)
        session.submit_to(made[line.device], exchange, made.now)
        while not made.group.sessions.results.get("expired"):
            made.run(line)
            made.deliver(line)
        made.lose(line.upstream)
        assert ends == [Outcome.NO_DEVICE]
        assert exchange.seen

    def test_it_ends_with_its_session(self) -> None:
        made = world()
        party, session = logged_in(made)
        [line] = lines_of(made, session)
        exchange, ends = bound(session)
        session.submit_to(made["b" if line.device == "a" else "a"], exchange, made.now)
        made.leave(party)
        assert ends == [Outcome.LOGIN_LOST]
        later, ends = bound(session)
        session.submit_to(made["a"], later, made.now)
        assert ends == [Outcome.LOGIN_LOST]


def test_nothing_is_left_of_it_when_its_last_client_leaves() -> None:
    made = world()
    party, session = logged_in(made)
    mate, same = logged_in(made)
    assert same is session
    [login] = session.logins
    made.leave(party)
    assert lines_of(made, session)
    assert any(login.request)
    made.leave(mate)
    assert not any(line.carried for line in made.open_lines)
    assert not any(login.request)
    assert repr(login) == "<a login>"
