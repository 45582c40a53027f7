"""A licensed rate as a bucket of tokens: one for each request, coming back with time. Pure."""

from __future__ import annotations

from typing import Final

_BURST: Final = 0.025  # seconds' worth of tokens that a device at rest has saved up; more than a tick of 20 ms


class Bucket:
    """At most ``rate`` requests a second, and `burst` more at once after a rest."""

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, now: float | None = None) -> None:
        """Full. ``rate``: requests a second. ``now``: seconds; None: when it is first used."""
        self.rate = rate
        self.burst = max(1.0, rate * _BURST)
        self._tokens = self.burst
        self._at = now

    def take(self, now: float) -> bool:
        """Take a token, even where there is none (a ping goes all the same); says whether there is another one."""
        self._refill(now)
        self._tokens -= 1.0
        return self._tokens >= 1.0

    def ready(self, now: float) -> bool:
        """Whether there is a token."""
        self._refill(now)
        return self._tokens >= 1.0

    def _refill(self, now: float) -> None:
        if self._at is not None:
            self._tokens = min(self._tokens + max(now - self._at, 0.0) * self.rate, self.burst)
        self._at = now
