"""A client that stays on one device: its connection there belongs to it alone and dies with it.

Who logs in, or uses a command that nobody knows and that might be a login, must neither lend its rights to others nor
be a stranger on the next device. Until its login is known to be good elsewhere, and for what must stay on one
connection, it is pinned: docs/adr/0002-sharing-connections.md, docs/sessions.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from .exchange import Attempt, Exchange
from .login import Login, Replay
from .owner import Owner
from .snapshot import Outcome

if TYPE_CHECKING:
    from .device import Device
    from .pins import Pins
    from .session import Session
    from .upstream import Upstream


class Pin(Owner):
    """The requests of one pinned client, in order, on one connection.

    ``label``: the code that pinned it. ``ended(lost)`` is called once when the pin is over by no will of its client:
    with True the state on the device is gone and the client must go, with False nothing ever reached a device.
    """

    def __init__(
        self, pins: Pins, label: str, ended: Callable[[bool], None], give_up_at: float, session: Session | None = None
    ) -> None:
        """``give_up_at``: when to stop looking for a device, seconds of the reactor's clock.

        The logins of ``session`` are repeated on its connection before anything else.
        """
        self.label = label
        self.device: Device | None = None
        self.upstream: Upstream | None = None
        self.tried: tuple[Device, ...] = ()
        self.give_up_at = give_up_at
        self.queue: deque[Exchange] = deque()
        self.over = False
        self.accepted: list[Login] = []  # what its client logged in with, on this connection
        self.roams_later = True  # whether what it did so far can be repeated on another device
        # Copies: the session may end first.
        self.logins = tuple(login.copy() for login in session.logins) if session is not None else ()
        self._session = session
        self._pins = pins
        self._ended = ended
        self._logging_in: Upstream | None = None  # where its logins are being repeated
        self._blocked = False  # stands in its device's list of blocked pins

    def submit(self, exchange: Exchange, now: float) -> None:
        """``exchange.owner`` is this pin; ``exchange.deadline`` is set."""
        self.queue.append(exchange)
        self.pump(now)

    def opened(self, upstream: Upstream, now: float) -> None:
        if self.over:
            upstream.close("its client has left")
        elif self.logins:
            self._logging_in = upstream
            Replay(upstream, self.logins, self._pins.rules, self._pins.clock, self._logged_in).go_on(now)
        else:
            self.upstream = upstream
            self.pump(now)

    def _logged_in(self, upstream: Upstream, refusal: bytes | None, now: float) -> None:
        for login in self.logins:
            login.forget()
        self.logins = ()
        self.upstream = upstream
        self._logging_in = None
        if refusal is None:
            self.pump(now)
        else:
            if self._session is not None:
                self._session.distrust(upstream.device, now)
            upstream.close("a login was not accepted again")

    def close(self) -> None:
        """End its connection, also where it is not ready yet: what is forgotten must not be sent."""
        upstream = self.upstream or self._logging_in
        if upstream is not None:
            upstream.close("its client has left")

    def stay(self) -> None:
        """What was done here cannot be repeated elsewhere: this is where its client stays."""
        self.roams_later = False
        for login in self.accepted:
            login.forget()
        self.accepted.clear()

    def forget_logins(self) -> None:
        """They are not needed again. Nothing may be repeating them."""
        for login in (*self.logins, *self.accepted):
            login.forget()

    def open_failed(self, device: Device, now: float) -> None:
        self._pins.open_failed(self, now)

    def takes(self, attempt: Attempt, answer: bytes, now: float) -> bool:
        return False

    def freed(self, upstream: Upstream, now: float) -> None:
        self.pump(now)

    def connection_lost(self, upstream: Upstream, attempts: list[Attempt], now: float) -> None:
        self._pins.forget(self)
        if not self.over:
            self.lost(attempts, now)

    def pump(self, now: float) -> None:
        """Send what can be sent; wait in the device's list where only its limit is in the way."""
        upstream = self.upstream
        if upstream is None:
            return
        device = upstream.device
        while self.queue and upstream.has_room:
            if device.outstanding >= device.limit:
                if not self._blocked:
                    self._blocked = True
                    device.blocked_pins.append(self)
                return
            exchange = self.queue.popleft()
            if not exchange.finished:
                upstream.send(exchange, now)

    def unblocked(self, now: float) -> None:
        """The device has room again; it has taken the pin from its list."""
        self._blocked = False
        self.pump(now)

    def lost(self, attempts: list[Attempt], now: float) -> None:
        """The connection is gone. What may have run is in doubt; nothing goes to another device."""
        self.over = True
        self.forget_logins()
        for attempt in attempts:
            exchange = attempt.exchange
            written = attempt.mark < attempt.upstream.link.touched
            in_doubt = written and not exchange.command.repeatable
            if now >= exchange.deadline:
                exchange.finish(Outcome.TIMEOUT, None)
            else:
                exchange.finish(Outcome.UNKNOWN if in_doubt else Outcome.LOGIN_LOST, None)
        self._end(Outcome.LOGIN_LOST, lost=True)

    def refused(self) -> None:
        """No device took it: nothing of it reached one, so its client may go on as if it had not asked."""
        self.over = True
        self.close()
        self.forget_logins()
        self._end(Outcome.NO_DEVICE, lost=False)

    def _end(self, outcome: Outcome, *, lost: bool) -> None:
        queued, self.queue = self.queue, deque()
        self._ended(lost)  # first: an ended request makes room for the client's next, which must not come here
        for exchange in queued:
            exchange.finish(outcome, None)

    def expire(self, now: float) -> None:
        """Answer what waited too long."""
        while self.queue and self.queue[0].deadline <= now:
            self.queue.popleft().finish(Outcome.BUSY, None)
