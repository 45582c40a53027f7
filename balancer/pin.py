"""A client that stays on one device: its connection there belongs to it alone and dies with it.

Who logs in, or uses a command that nobody knows and that might be a login, must neither lend its rights to others nor
be a stranger on the next device. So it is pinned, for as long as it lives: docs/adr/0002-sharing-connections.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from .exchange import Attempt, Exchange
from .snapshot import Outcome

if TYPE_CHECKING:
    from .device import Device
    from .upstream import Upstream


class Pin:
    """The requests of one pinned client, in order, on one connection.

    ``label``: the code that pinned it. ``ended(lost)`` is called once when the pin is over by no will of its client:
    with True the state on the device is gone and the client must go, with False nothing ever reached a device.
    """

    def __init__(self, label: str, ended: Callable[[bool], None], give_up_at: float) -> None:
        """``give_up_at``: when to stop looking for a device, seconds of the reactor's clock."""
        self.label = label
        self.device: Device | None = None
        self.upstream: Upstream | None = None
        self.tried: tuple[Device, ...] = ()
        self.give_up_at = give_up_at
        self.queue: deque[Exchange] = deque()
        self.over = False
        self._ended = ended
        self._blocked = False  # stands in its device's list of blocked pins

    def submit(self, exchange: Exchange, now: float) -> None:
        """``exchange.owner`` is this pin; ``exchange.deadline`` is set."""
        self.queue.append(exchange)
        self.pump(now)

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
