"""Whatever happens in whatever order, nobody's request runs in somebody else's name; and a planted leak is found."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import balancer.session
from balancer.login import Login, LoginRules
from balancer.pin import Pin
from balancer.pins import Pins
from balancer.session import Session
from balancer.sessions import Sessions
from balancer.upstream import Upstream
from guardian.client import Client
from guardian.route import Route
from tests.support.session_machine import SessionMachine

TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

# Fixed examples, and not made smaller: that a fault is found is the point, not how short it can be told.
HUNT = settings(
    max_examples=1500,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.generate,),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def into_the_pool(upstream: Upstream) -> None:
    device = upstream.device
    if not upstream.link.open or upstream.outstanding:
        return
    device.private.discard(upstream)
    device.upstreams.add(upstream)
    upstream.owner = None
    upstream.free = True
    device.free.append(upstream)


def a_session_leaves_its_connections_to_the_pool(patch: pytest.MonkeyPatch) -> None:
    right = Session.end

    def end(self: Session) -> None:
        for lane in self.lanes.values():
            for upstream in tuple(lane.upstreams):
                if not upstream.outstanding:
                    del lane.upstreams[upstream]
                    if upstream in lane.free:
                        lane.free.remove(upstream)
                    into_the_pool(upstream)
        right(self)

    patch.setattr(Session, "end", end)


def a_pin_leaves_its_connection_to_the_pool(patch: pytest.MonkeyPatch) -> None:
    def close(self: Pins, pin: Pin) -> None:
        pin.over = True
        self.forget(pin)
        pin.forget_logins()
        if pin.upstream is not None:
            into_the_pool(pin.upstream)

    patch.setattr(Pins, "close", close)


def the_certificate_does_not_count(patch: pytest.MonkeyPatch) -> None:
    def key(self: Sessions, identity: Hashable, logins: tuple[Login, ...]) -> Hashable:
        return tuple(login.request for login in logins)

    patch.setattr(Sessions, "_key", key)


def the_login_does_not_count(patch: pytest.MonkeyPatch) -> None:
    def key(self: Sessions, identity: Hashable, logins: tuple[Login, ...]) -> Hashable:
        return identity

    patch.setattr(Sessions, "_key", key)


def any_answer_to_a_login_will_do(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LoginRules, "succeeded", lambda self, code, answer: answer is not None)


def logged_in_requests_go_to_shared_connections(patch: pytest.MonkeyPatch) -> None:
    """The check at every send is off, and a request of a session takes the wrong way."""

    def submit_for(self: object, session: Session, exchange: object, now: float) -> None:
        exchange.owner = None  # type: ignore[attr-defined]
        self.submit(exchange, now)  # type: ignore[attr-defined]

    patch.setattr("balancer.group.Group.submit_for", submit_for)


def a_client_does_not_wait_for_its_login(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Client, "_fences", lambda self, ruling, frame: False)


def a_refused_login_changes_nothing(patch: pytest.MonkeyPatch) -> None:
    """The client stays in the session that it had."""
    right = Route._log_in

    def log_in(self: Route, exchange: object, now: float) -> None:
        before = self.owner
        if isinstance(before, Session):
            before.clients += 1
        right(self, exchange, now)  # type: ignore[arg-type]
        done = exchange.done  # type: ignore[attr-defined]

        def then(exchange: object) -> None:
            done(exchange)
            if isinstance(before, Session) and self.owner is None:
                self.owner = before

        exchange.done = then  # type: ignore[attr-defined]

    patch.setattr(Route, "_log_in", log_in)


def credentials_are_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Login, "forget", lambda self: None)


def a_logout_is_left_behind(patch: pytest.MonkeyPatch) -> None:
    """Its connection stays open when its client leaves before the answer."""
    right = Route.leave

    def leave(self: Route) -> None:
        self._leaving_by = None
        right(self)

    patch.setattr(Route, "leave", leave)


LEAKS = [
    a_session_leaves_its_connections_to_the_pool,
    a_pin_leaves_its_connection_to_the_pool,
    the_certificate_does_not_count,
    the_login_does_not_count,
    any_answer_to_a_login_will_do,
    logged_in_requests_go_to_shared_connections,
    a_client_does_not_wait_for_its_login,
    a_refused_login_changes_nothing,
    credentials_are_kept,
    a_logout_is_left_behind,
]


@pytest.mark.skipif(not balancer.session.__file__.endswith(".py"), reason="compiled classes cannot be made wrong")
@pytest.mark.parametrize("plant", LEAKS, ids=lambda plant: plant.__name__)
def test_a_planted_leak_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Exception):  # noqa: B017, PT011 - an assertion of the machine, or of the code at fault
        run_state_machine_as_test(SessionMachine, settings=HUNT)
