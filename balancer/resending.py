"""What becomes of an exchange that a device lost or leaves unanswered: another device, or the end of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.model import Retries

from .exchange import Attempt, Exchange
from .retry import RetryBudget, may_resend
from .scheduler import Scheduler
from .session import Session
from .snapshot import Outcome

if TYPE_CHECKING:
    from .device import Device
    from .group import Group


class Resending:
    """``counts`` has resends by why: lost, timeout, bad_answer, not_written. Times are seconds of the group's clock."""

    def __init__(self, group: Group, scheduler: Scheduler, settings: Retries) -> None:
        self.counts: dict[str, int] = {}
        self.budget = RetryBudget(settings)
        self._group = group
        self._scheduler = scheduler
        self._settings = settings

    def configure(self, settings: Retries) -> None:
        self._settings = settings
        self.budget.configure(settings)

    def attempt_failed(self, attempt: Attempt, why: str, now: float) -> None:
        """An exchange lost one of its attempts: another device, another attempt still open, or the end."""
        exchange = attempt.exchange
        if exchange.finished:
            return
        if exchange.bound and why == "not_written":
            exchange.finish(Outcome.NO_DEVICE, None)
        elif now >= exchange.deadline:
            exchange.finish(Outcome.TIMEOUT, None)
        elif exchange.attempts or exchange.queued:
            exchange.tried += (attempt.device,)
        elif may_resend(exchange, self._settings, self.budget, written=why != "not_written"):
            self._resend(exchange, attempt.device, why, now)
        else:
            exchange.finish(Outcome.UNKNOWN, None)

    def not_run(self, exchange: Exchange, device: Device, now: float) -> None:
        """A device refused it for want of a login, and was lost before that was repeated: no device has run it."""
        if exchange.finished:
            return
        if exchange.bound:
            exchange.finish(Outcome.NO_DEVICE, None)
        elif now >= exchange.deadline:
            exchange.finish(Outcome.TIMEOUT, None)
        else:
            self._resend(exchange, device, "not_written", now)

    def ask_another_too(self, attempt: Attempt, now: float) -> None:
        """A read unanswered for its attempt time-out goes to another device as well; the first answer counts."""
        exchange, serving = attempt.exchange, self._scheduler.serving
        tried = (*exchange.tried, attempt.device)
        others = serving[:1] if exchange.command.own_device else serving
        if all(device in tried for device in others):
            return
        if may_resend(exchange, self._settings, self.budget, written=True):
            attempt.resent = True
            self._resend(exchange, attempt.device, "timeout", now)

    def avoided(self, exchange: Exchange) -> tuple[Device, ...]:
        """Where a resent exchange does not go; it may where it failed, if nothing else is in service."""
        tried = exchange.tried
        if not tried:
            return tried
        still_asked = exchange.attempts > 0  # by one of them, which need not be asked twice at a time
        return tried if still_asked or any(device not in tried for device in self._scheduler.serving) else ()

    def _resend(self, exchange: Exchange, failed_on: Device, why: str, now: float) -> None:
        """To another device with room, or to the head of the queue for one."""
        exchange.resent += why != "not_written"
        exchange.tried += (failed_on,)
        self.counts[why] = self.counts.get(why, 0) + 1
        if exchange.owner is not None:
            assert isinstance(exchange.owner, Session)
            exchange.owner.submit_again(exchange, now)
            return
        group = self._group
        steady = self._scheduler.steady if exchange.command.own_device else None
        device = steady or self._scheduler.pick(exchange.code, now, self.avoided(exchange))
        if device is not None and device.has_room:
            group.send(device, exchange, now)
            return
        exchange.wait_until = exchange.deadline
        exchange.queued = True
        (group.queue if steady is None else steady.waiting).appendleft(exchange)
