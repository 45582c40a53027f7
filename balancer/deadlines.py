"""What happens in a group because time passes: requests that waited too long, devices that are silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .cost import DECAY_EVERY
from .exchange import Exchange
from .exemplar import show_slowest
from .fair import still_waiting
from .judgement import compare, others_could_serve
from .snapshot import Outcome

if TYPE_CHECKING:
    from .group import Group
    from .upstream import Upstream

EXPIRE_EVERY = 0.02  # seconds
_REPLENISH_EVERY = 0.002  # seconds, while a device's licensed rate is used up: tokens come back as smoothly as that
_COUNT_EVERY = 0.1  # seconds; each time costs 10 µs for each command that came
_SLACK = 0.0005  # seconds that a sleep may be too short by
_COMPARE_EVERY = 1.0  # seconds between comparisons of a device's errors with its peers'
_COMPARE_OVER = 5.0  # seconds that such a comparison looks back, where that is enough to judge them
_COMPARE_AT_MOST_OVER = 60.0
_REMEMBER_EVERY = 10.0  # seconds; six of these are what "recent" means


class Deadlines:
    """Call `look` again and again, each time after the seconds that it gave: that is how exact the time-outs are."""

    def __init__(self, group: Group, now: float) -> None:
        self._group = group
        self._expired = self._counted = self._decayed = self._compared = self._tallied = self._remembered = now

    def look(self, now: float) -> float:
        """Do what is due now; gives the seconds until there may be something again."""
        if now - self._expired >= EXPIRE_EVERY - _SLACK:
            self.expire(now)
        else:
            self._replenish(now)
        throttled = any(device.limit == 0 for device in self._group.devices)
        return _REPLENISH_EVERY if throttled else EXPIRE_EVERY

    def _replenish(self, now: float) -> None:
        """Give devices whose licensed rate was used up their room back, and to those who wait what they wait for."""
        for device in self._group.devices:
            if device.limit == 0 and device.replenished(now):
                self._group.hand_on(device, now)

    def expire(self, now: float) -> None:
        group = self._group
        self._expired = now
        self._replenish(now)
        group.resending.budget.earn(group.arrived)
        group.arrived = 0
        if now - self._counted >= _COUNT_EVERY - _SLACK:
            self._counted = now
            self._count_what_came()
        for device in group.devices:
            health = device.health
            device.tracker.tick(now)
            if device.health is not health:
                group.changed(device)
            for upstream in (*device.upstreams, *device.private):
                if upstream.outstanding:
                    self._expire_attempts(upstream, now)
            if device.waiting:
                expired: list[Exchange] = []
                device.waiting = still_waiting(device.waiting, now, expired)
                self._give_up(expired, now)
        if group.queue:
            self._give_up(group.queue.expire(now), now)
        for session in tuple(group.sessions.waiting):
            self._give_up(session.expire(now), now)
        group.sessions.expire_logins(now)
        group.sessions.look(now)
        group.pins.expire(now)
        group.writes.expire(now)
        self._now_and_then(now)

    def _count_what_came(self) -> None:
        """What the hot path only notes down."""
        group = self._group
        group.proxy_duration.fold()
        group.queue_duration.fold()
        for command in group.commands.all:
            command.count.duration.fold()
            if command.count.slow is not None:
                show_slowest(command, group.proxy_duration)
        for device in group.devices:
            device.duration.fold()

    def _now_and_then(self, now: float) -> None:
        if now - self._decayed >= DECAY_EVERY:
            for device in self._group.devices:
                device.costs.decay(now - self._decayed)
            self._decayed = now
        if now - self._compared >= _COMPARE_EVERY:
            self._compared = now
            judged = compare(self._group, now)
            over = now - self._tallied
            if over >= (_COMPARE_OVER if judged else _COMPARE_AT_MOST_OVER):
                self._tallied = now
                for device in self._group.devices:
                    device.forget_tally()
        if now - self._remembered >= _REMEMBER_EVERY:
            self._remembered = now
            for device in self._group.devices:
                device.remember()

    def _expire_attempts(self, upstream: Upstream, now: float) -> None:
        settings = self._group.settings
        if now - upstream.outstanding[0].sent_at >= settings.request_timeout:
            for attempt in upstream.outstanding:
                attempt.overdue = True
            upstream.close(f"no answer within {settings.request_timeout:g} s", by_fault=True)
            return
        for attempt in tuple(upstream.outstanding):
            exchange = attempt.exchange
            if now >= exchange.deadline:
                exchange.finish(Outcome.TIMEOUT, None)  # it waited, or was sent elsewhere, before it was sent here
            if now - attempt.sent_at < settings.retries.attempt_timeout:
                return
            if exchange.finished or exchange.is_ping or not exchange.command.repeatable:
                continue  # a write may rightly take longer: a key pair is made in seconds
            if not attempt.overdue:
                attempt.overdue = True
                device, reason = attempt.device, f"no answer within {settings.retries.attempt_timeout:g} s"
                device.tracker.request_failed(reason, now, may_eject=others_could_serve(self._group, device))
                self._group.changed(device)
            alone_again = exchange.attempts == 1 and not exchange.queued  # the other one was lost
            if not attempt.resent or alone_again:
                self._group.resending.ask_another_too(attempt, now)

    def _give_up(self, expired: list[Exchange], now: float) -> None:
        hopeless = self._group.hopeless
        for exchange in expired:
            if not exchange.tried:
                self._group.waited(now - exchange.arrived)
            if exchange.resent and exchange.attempts:
                exchange.finish(Outcome.TIMEOUT, None)
            else:
                exchange.finish(Outcome.NO_DEVICE if hopeless else Outcome.BUSY, None)
