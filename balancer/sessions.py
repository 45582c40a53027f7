"""The sessions of a group: who shares one, and how many logins failed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from hashlib import sha256
from typing import TYPE_CHECKING

from .login import FailedLogins, Login, LoginRules
from .pin import Pin
from .session import Session

if TYPE_CHECKING:
    from config import model

    from .device import Device
    from .exchange import Exchange
    from .group import Group
    from .scheduler import Scheduler

_LOOK_EVERY = 1.0  # seconds between looks at all connections of all sessions


class Sessions:
    """Begins, shares and ends them; answers what they ask of their group."""

    def __init__(self, group: Group, scheduler: Scheduler, rules: LoginRules, clock: Callable[[], float]) -> None:
        self.all: set[Session] = set()
        self.waiting: set[Session] = set()  # those with requests that wait for a connection or for room
        self.rules = rules
        self.scheduler = scheduler
        self.clock = clock
        self.queue_size = 0
        self.results: dict[str, int] = {}  # logins by result: ok, refused, limited, replayed, replay_refused, expired
        self._group = group
        self._by_key: dict[Hashable, Session] = {}
        self._failed = FailedLogins()
        self._looked = 0.0

    def configure(self, settings: model.Group, rules: LoginRules) -> None:
        self.rules = rules
        self.queue_size = settings.queue.size

    # --- logins -------------------------------------------------------------------------------------------------

    def admits_login(self, identity: Hashable, now: float) -> bool:
        """Whether a login of that identity may reach a device; not after too many that were refused."""
        settings = self.rules.settings
        if self._failed.too_many(identity, settings.failures, settings.failure_window, now):
            self.count("limited")
            return False
        return True

    def login_answered(self, identity: Hashable, pin: Pin, exchange: Exchange, now: float) -> Session | None:
        """A device has answered a login that a client sent on its pin; gives the session that this makes, if it does.

        The pin's connection is the session's then, and the pin is over. Without a session the client stays pinned.
        """
        answer = exchange.answer
        if not self.rules.succeeded(exchange.code, answer):
            if answer is not None and self.rules.refused(exchange.code, answer):
                self.count("refused")
            else:
                pin.roams_later = False  # a login in several steps cannot be repeated
            self._failed.note(identity, now)
            return None
        assert answer is not None
        self.count("ok")
        self._failed.forget(identity)
        pin.accepted.append(Login(exchange.request, exchange.code, exchange.context))
        pin.roams_later = pin.roams_later and self.rules.holds_elsewhere(answer)
        if not pin.roams_later or len(pin.accepted) < self.rules.settings.logins_required or pin.upstream is None:
            return None
        return self._begin(identity, pin, now)

    def _begin(self, identity: Hashable, pin: Pin, now: float) -> Session:
        upstream = pin.upstream
        assert upstream is not None
        logins = tuple(pin.accepted)
        key = self._key(identity, logins)
        session = self._by_key.get(key) if key is not None else None
        if session is None:
            session = Session(self, key, identity, logins)
            self.all.add(session)
            if key is not None:
                self._by_key[key] = session
        else:
            session.refused_until = 0.0  # it has just been accepted
            pin.forget_logins()
        pin.over = True
        self._group.pins.forget(pin)
        session.adopt(upstream, now)
        session.clients += 1
        return session

    def _key(self, identity: Hashable, logins: tuple[Login, ...]) -> Hashable:
        """Equal for those who may share: the same certificate and the same logins to the byte. None: nobody may."""
        if identity is None or self.rules.settings.share == "none":
            return None
        return identity, tuple(sha256(login.request).digest() for login in logins)

    def leave(self, session: Session) -> None:
        """One of its clients is gone."""
        session.clients -= 1
        if session.clients == 0:
            self.all.discard(session)
            if self._by_key.get(session.key) is session:
                del self._by_key[session.key]
            session.end()

    # --- what sessions ask --------------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Requests that wait for a connection or for room."""
        return sum(
            len(session.queue) + sum(len(lane.bound) for lane in session.lanes.values()) for session in self.waiting
        )

    def count(self, result: str) -> None:
        self.results[result] = self.results.get(result, 0) + 1

    def may_open(self) -> bool:
        return self._group.pins.may_open()

    def hopeless(self) -> bool:
        return self._group.hopeless

    def avoided(self, exchange: Exchange) -> tuple[Device, ...]:
        return self._group.resending.avoided(exchange)

    def send_elsewhere(self, exchange: Exchange, failed_on: Device, now: float) -> None:
        """A connection was lost before this was sent on it again."""
        self._group.resending.not_run(exchange, failed_on, now)

    def replay_refused(self, session: Session, device: Device, now: float) -> None:
        self.count("replay_refused")
        self._failed.note(session.identity, now)
        self._group.tell("login not accepted again", device=device.name)

    def take_bound(self, device: Device) -> list[Exchange]:
        """What waits for that device and no other; it is the caller's to end."""
        return [exchange for session in tuple(self.waiting) for exchange in session.take_bound(device)]

    # --- time ---------------------------------------------------------------------------------------------------

    def hand_on(self, now: float) -> None:
        """Some device has room again."""
        for session in tuple(self.waiting):
            session.pump(now)

    def look(self, now: float) -> None:
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            for session in tuple(self.all):
                session.look(now)
