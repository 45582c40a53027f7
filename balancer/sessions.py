"""The sessions of a group: who shares one, and how many logins failed. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from hashlib import sha256
from typing import TYPE_CHECKING

from .login import Login, LoginRules, LoginTries, Tries
from .pin import Pin
from .session import Session
from .snapshot import Outcome

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
        self.waiting: dict[Session, None] = {}  # those with requests that wait for a connection or for room
        self.rules = rules
        self.scheduler = scheduler
        self.clock = clock
        self.queue_size = 0
        self.results: dict[str, int] = {}  # logins by result: ok, refused, limited, replayed, replay_refused, expired
        self._group = group
        self._by_key: dict[Hashable, Session] = {}
        self.tries: Tries = LoginTries()
        self._held_back: dict[Hashable, deque[tuple[Exchange, Callable[[float], None]]]] = {}  # logins, by identity
        self._queue_timeout = 0.0
        self._looked = 0.0

    def configure(self, settings: model.Group, rules: LoginRules) -> None:
        self.rules = rules
        self.queue_size = settings.queue.size
        self._queue_timeout = settings.queue.timeout

    # --- logins -------------------------------------------------------------------------------------------------

    def begin_login(self, identity: Hashable, exchange: Exchange, go: Callable[[float], None], now: float) -> None:
        """Let a login reach a device with ``go(now)``: at once, or when one that is under way was answered.

        After too many that were refused it is answered here. Whoever went calls `end_login`.
        """
        exchange.wait_until = now + self._queue_timeout
        self._held_back.setdefault(identity, deque()).append((exchange, go))
        self._let_go(identity, now)

    def end_login(self, identity: Hashable, now: float, *, good: bool) -> None:
        """A login that went is answered; ``good``: with yes, or no device saw it."""
        self.tries.end(identity, now, good=good)
        self._let_go(identity, now)

    def _let_go(self, identity: Hashable, now: float) -> None:
        """Send or answer the logins that need not wait any longer. Each may end, and come back here, at once."""
        settings = self.rules.settings
        while waiting := self._held_back.get(identity):
            exchange, go = waiting[0]
            admitted: bool | None = False
            if not exchange.finished:
                admitted = self.tries.begin(identity, settings.failures, settings.failure_window, now)
            if admitted is None:
                return
            waiting.popleft()
            if admitted:
                go(now)
            elif not exchange.finished:
                self.count("limited")
                exchange.finish(Outcome.BUSY, None)
        self._held_back.pop(identity, None)

    def said_no(self, exchange: Exchange) -> bool:
        """Whether a device refused that login, or may have."""
        if exchange.outcome is not Outcome.OK or exchange.answer is None:
            return True
        return self.rules.refused(exchange.code, exchange.answer)

    def login_answered(self, identity: Hashable, pin: Pin, exchange: Exchange, now: float) -> Session | None:
        """A device has answered a login that a client sent on its pin; gives the session that this makes, if it does.

        The pin's connection is the session's then, and the pin is over. Without a session the client stays pinned.
        """
        answer = exchange.answer
        if not self.rules.succeeded(exchange.code, answer):
            if answer is not None and self.rules.refused(exchange.code, answer):
                self.count("refused")
            else:
                pin.stay()  # a login in several steps cannot be repeated
            return None
        assert answer is not None
        self.count("ok")
        if not self.rules.holds_elsewhere(answer):
            pin.stay()
        if pin.roams_later:
            pin.accepted.append(Login(exchange.request, exchange.code, exchange.context))
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
        session.clients += 1
        if session.enough(upstream.device):
            upstream.close("its session has enough connections there")
        else:
            session.adopt(upstream, now)
        session.pump(now)
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
        self.tries.refused(session.identity, now)
        self._group.tell("login not accepted again", device=device.name, client=str(session.identity))

    def take_bound(self, device: Device) -> list[Exchange]:
        """What waits for that device and no other; it is the caller's to end."""
        return [exchange for session in tuple(self.waiting) for exchange in session.take_bound(device)]

    # --- time ---------------------------------------------------------------------------------------------------

    def hand_on(self, device: Device, now: float) -> None:
        """This device has room again: the session that has waited longest goes first, and then waits longest again."""
        for session in tuple(self.waiting):
            if device.outstanding >= device.limit:
                return
            self.waiting.pop(session, None)
            self.waiting[session] = None
            session.pump(now)

    def expire_logins(self, now: float) -> None:
        """Answer logins that were held back for too long, and let go those that another process held up."""
        for identity, waiting in tuple(self._held_back.items()):
            self._let_go(identity, now)
            while waiting and (waiting[0][0].finished or now >= waiting[0][0].wait_until):
                exchange, _ = waiting.popleft()
                exchange.finish(Outcome.BUSY, None)
            if not waiting:
                self._held_back.pop(identity, None)

    def look(self, now: float) -> None:
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            for session in tuple(self.all):
                session.look(now)
