"""Turns pings and the fate of real requests into a belief about one device. Pure: time and chance come in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from config.model import Ejection, Ping

from .rota import Rota
from .state import TRANSITIONS, Danger, Health, Signal

if TYPE_CHECKING:
    from random import Random

_IN_DOUBT: Final = 0.25  # of the interval: a device in doubt is asked sooner
_DOWN_GROWTH: Final = 1.5
_DOWN_MOST: Final = 4.0  # intervals: a dead device is asked less and less often, but never forgotten
_JITTER: Final = 0.1


class HealthTracker:
    """The single place where a device's health changes.

    Each method takes ``now`` (seconds, monotonic) and may change `health`, with `reason` for people and `changed_at`.
    """

    def __init__(self, ping: Ping, ejection: Ejection, random: Random, rota: Rota | None = None) -> None:
        """``rota``: among other processes that ping the device too."""
        self._random = random
        self._rota = rota or Rota()
        self.health = Health.UNKNOWN
        self.reason = "no ping answered yet"
        self.changed_at = 0.0
        self.last_ping: float | None = None  # seconds the last good ping took
        self.last_ping_at: float | None = None  # or when requests that were answered stood for one
        self.suspect = False  # something went wrong and nothing good was seen since: others are preferred
        self.calm = False  # an answered request would change nothing, so that need not be told
        self.ejections: dict[str, int] = {}  # by reason
        self._good_pings = 0
        self._bad_pings = 0
        self._failures = 0  # real requests that failed in a row
        self._ejected_in_a_row = 0
        self._ejection_ends = 0.0
        self._last_ejection = 0.0  # seconds
        self._dangers: dict[Danger, str] = {}  # why it is unsafe, with a text for people
        self.configure(ping, ejection)

    def configure(self, ping: Ping, ejection: Ejection) -> None:
        """Take new settings; what is believed stays."""
        self._ping = ping
        self._ejection = ejection

    def ping_answered(self, seconds: float, now: float) -> None:
        self.last_ping = seconds
        self.last_ping_at = now
        self._bad_pings = 0
        self._good_pings += 1
        self.suspect = False
        needed = 1 if self.health is Health.UNKNOWN else self._ping.rise
        if self._good_pings >= needed and self._signal(Signal.ROSE, now):
            self.reason = "waits for a first real request" if self.health is Health.PROBATION else ""
            self._failures = 0

    def ping_failed(self, reason: str, now: float, *, for_certain: bool = False) -> None:
        """``for_certain``: no doubt is possible, such as a port where nobody listens; one such ping is enough."""
        self._good_pings = 0
        self._bad_pings += 1
        self.suspect = True
        self.calm = False
        if (for_certain or self._bad_pings >= self._ping.fall) and self.health is not Health.DOWN:
            self._signal(Signal.FELL, now)
        if self.health is Health.DOWN or self.health is Health.UNKNOWN:
            self.reason = reason

    def request_answered(self, now: float) -> None:
        """A real request was answered, and not with a general failure: such an answer proves nothing."""
        self._failures = 0
        self.suspect = False
        if self.health is Health.PROBATION and self._signal(Signal.PROVED, now):
            self.reason = ""
        self.calm = self.health is Health.UP

    def request_failed(self, reason: str, now: float, *, may_eject: bool) -> None:
        """A real request was lost, timed out, or answered with nonsense.

        ``may_eject`` is False where nothing else could serve: a bad device is better than none.
        """
        self._failures += 1
        self.suspect = True
        self.calm = False
        if self.health is Health.PROBATION or (self._failures >= self._ejection.failures and may_eject):
            self.eject(reason, now)

    def not_proved(self, now: float, *, may_eject: bool) -> None:
        """A real request was answered with an error. That proves nothing; but in probation, not so many in a row.

        Who waits for a proof gets a request whenever it has none: quick errors would draw nearly all of them.
        """
        if self.health is not Health.PROBATION:
            return
        self._failures += 1
        if self._failures >= self._ejection.failures and may_eject:
            self.eject("it answered nothing but errors in probation", now)

    def eject(self, reason: str, now: float) -> None:
        """Out for a time that doubles, unless it behaved for longer than its last ejection was."""
        behaved_for = now - self.changed_at if self.health is Health.UP else 0.0
        if not self._signal(Signal.MISBEHAVED, now) or self.health is not Health.EJECTED:
            return
        if behaved_for > self._last_ejection:
            self._ejected_in_a_row = 0
        duration = min(self._ejection.base * 2.0 ** min(self._ejected_in_a_row, 32), self._ejection.max)
        self._ejected_in_a_row += 1
        self._last_ejection = duration
        self._ejection_ends = now + duration
        self._failures = 0
        self.ejections[reason] = self.ejections.get(reason, 0) + 1
        self.reason = f"{reason}; out for {duration:g} s"

    def doubted_elsewhere(self) -> None:
        """Another process has found something wrong: that counts as one failed ping, and never as the last."""
        if self.health is not Health.DOWN and not self._bad_pings and self._ping.fall > 1:
            self._good_pings = 0
            self._bad_pings = 1

    def doubt(self) -> None:
        """A connection was lost: others are preferred until something good is seen."""
        self.suspect = True
        self.calm = False

    @property
    def is_behind(self) -> bool:
        """Its key table lacks a write that the group has done."""
        return Danger.BEHIND in self._dangers

    @property
    def dangers(self) -> Mapping[Danger, str]:
        """Why it is unsafe, with a text for people."""
        return dict(self._dangers)

    def distrust(self, reason: str, now: float) -> None:
        """It is not the device it should be: its certificate is another's."""
        self._endanger(Danger.STRANGER, reason, now)

    def clear(self, now: float) -> None:
        """It showed the right certificate."""
        self._lift(Danger.STRANGER, now)

    def behind(self, reason: str, now: float) -> None:
        """It missed or refused a write: unsafe until `shown_equal`, whatever the group does with unlike devices."""
        self._endanger(Danger.BEHIND, reason, now)

    def shown_equal(self, now: float) -> None:
        """Its key table was shown to be that of the group."""
        self._lift(Danger.BEHIND, now)

    def unlike(self, reason: str, now: float) -> None:
        """It is not like its group, and must be."""
        self._endanger(Danger.UNLIKE, reason, now)

    def shown_alike(self, now: float) -> None:
        """It is like its group again, or need not be."""
        self._lift(Danger.UNLIKE, now)

    def _endanger(self, danger: Danger, reason: str, now: float) -> None:
        self._dangers[danger] = reason
        self._signal(Signal.DISTRUSTED, now)
        self.reason = self._worst()

    def _lift(self, danger: Danger, now: float) -> None:
        """One danger less; without any it has to answer pings like a new device."""
        if self._dangers.pop(danger, None) is None:
            return
        if self._dangers:
            self.reason = self._worst()
        elif self._signal(Signal.CLEARED, now):
            self.reason = "no ping answered yet"
            self._good_pings = self._bad_pings = 0

    def _worst(self) -> str:
        return next(self._dangers[danger] for danger in Danger if danger in self._dangers)

    def forget(self, now: float) -> None:
        """Nobody looked at it for a while: it has to answer a ping like a new one."""
        if self._signal(Signal.FORGOTTEN, now):
            self.reason = "no ping answered yet"
        self._good_pings = self._bad_pings = self._failures = 0
        self.suspect = False

    def tick(self, now: float) -> None:
        """Let time pass: an ejection may be over."""
        if self.health is Health.EJECTED and now >= self._ejection_ends and self._signal(Signal.EXPIRED, now):
            self.reason = "its ejection is over; waits for a first real request"

    def until_next_ping(self, now: float) -> float:
        """Seconds to wait before the next ping. In doubt every process pings for itself, else they take turns."""
        if self.health is Health.DOWN and not self._good_pings:
            over = max(self._bad_pings - self._ping.fall, 0)
            factor = min(_DOWN_GROWTH ** min(over, 8), _DOWN_MOST)
        elif self.suspect or self.health in (Health.UNKNOWN, Health.DOWN) or self._bad_pings:
            every = self._ping.interval * _IN_DOUBT
            return every * (1.0 + self._jitter())
        else:
            factor = 1.0
        every = self._ping.interval * factor
        return self._rota.wait(every, now) + every * self._jitter()

    def _jitter(self) -> float:
        return _JITTER * (2.0 * self._random.random() - 1.0)

    def _signal(self, signal: Signal, now: float) -> bool:
        """Apply the table; says whether the health changed."""
        health = TRANSITIONS[self.health][signal]
        if health is self.health:
            return False
        self.health = health
        self.changed_at = now
        self.calm = False
        if health is Health.DOWN:
            self._good_pings = 0
        return True
