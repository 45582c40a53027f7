"""One request and what becomes of it; one sending of it to one device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .snapshot import Outcome

if TYPE_CHECKING:
    from .command import GroupCommand
    from .device import Device
    from .fair import Share
    from .owner import Owner
    from .upstream import Upstream

NEVER: Final = float("inf")
_OK: Final = Outcome.OK  # a look into an enum is slow until Python 3.12
_SEEN_BY_NOBODY: Final = (Outcome.NO_DEVICE, Outcome.BUSY, Outcome.SHUTDOWN)  # that is what the client takes them for


class Exchange:
    """From a request read to its answer known. Times are seconds of the reactor's clock.

    ``owner`` is None for a request that may travel on a shared connection, else the `Pin` or `Session` of its client:
    a connection refuses to send an exchange whose owner is not its own. ``done`` is called once, when `answer` and
    `outcome` are set; an `answer` of None says that the proxy answers itself, by `outcome`.
    """

    __slots__ = (
        "answer",
        "answered_at",
        "arrived",
        "attempts",
        "bound",
        "client",
        "code",
        "command",
        "context",
        "deadline",
        "device",
        "device_seconds",
        "done",
        "finished",
        "is_ping",
        "outcome",
        "owner",
        "queued",
        "relogged",
        "request",
        "resent",
        "seen",
        "tried",
        "wait_until",
    )

    def __init__(
        self,
        request: bytes,
        code: bytes,
        context: bytes | None,
        command: GroupCommand,
        owner: Owner | None,
        done: Callable[[Exchange], None],
        now: float,
        client: Share | None = None,
        *,
        is_ping: bool = False,
    ) -> None:
        self.request = request
        self.code = code
        self.context = context  # the text of its AG field; None where it has none
        self.command = command
        self.owner = owner
        self.client = client  # whose share of a full queue it takes; None: the proxy's own
        self.done = done
        self.arrived = now
        self.deadline = NEVER
        self.wait_until = NEVER  # how long it may be queued
        self.answer: bytes | None = None
        self.outcome = _OK
        self.finished = False
        self.is_ping = is_ping
        self.attempts = 0  # sendings that are still open
        self.queued = False  # waits in a queue to be sent again
        self.resent = 0
        self.bound = False  # belongs to the device it was submitted to: never sent again, nor elsewhere
        self.relogged = False  # its session's login was repeated for it
        self.seen = False  # a device has read it, and wanted a login first
        self.tried: tuple[Device, ...] = ()
        self.device: Device | None = None  # whose answer counts; before it comes, the one it was sent to last
        self.answered_at = 0.0  # when a device's answer was read that ended it; 0: it ended otherwise
        self.device_seconds = 0.0  # how long the device whose answer counts had it

    def finish(self, outcome: Outcome, answer: bytes | None) -> None:
        """The only way to an end; later calls change nothing (an answer that came after a resend's).

        Where some device may have read it, it does not end as one that none has.
        """
        if self.finished:
            return
        if outcome is not _OK and (self.seen or self.resent) and not self.bound and outcome in _SEEN_BY_NOBODY:
            outcome = Outcome.UNKNOWN
        self.finished = True
        self.outcome = outcome
        self.answer = answer
        self.done(self)

    def abandon(self) -> None:
        """Nobody waits for it any more: what is queued is not sent, what is sent may still be answered."""
        self.finished = True


class Attempt:
    """One sending of an exchange on one connection; counted as outstanding on its device from begin to finish."""

    __slots__ = ("cost", "device", "exchange", "mark", "overdue", "resent", "sent_at", "upstream")

    def __init__(self, exchange: Exchange, upstream: Upstream, device: Device, mark: int, now: float) -> None:
        """``mark``: how many bytes were queued on the connection before this request."""
        self.exchange = exchange
        self.upstream = upstream
        self.device = device
        self.mark = mark
        self.sent_at = now
        self.cost = device.begin(exchange.code, now)  # seconds, as added to the device's outstanding work
        self.overdue = False  # unanswered for the attempt time-out; counted against the device
        self.resent = False  # another device was asked too
