"""When a device may be connected again after failures. Pure: time and chance come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


class Backoff:
    """Grows from ``first`` to ``most`` seconds, doubling with each failure, each time shortened by up to a quarter.

    The jitter keeps the connections of several proxies, lost at the same moment, from coming back at the same moment.
    """

    def __init__(self, random: Random, *, first: float = 0.05, most: float = 5.0) -> None:
        self._random = random
        self._first = first
        self._most = most
        self.failures = 0  # in a row
        self._not_before = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next try is allowed; 0 when it is."""
        return max(self._not_before - now, 0.0)

    def failed(self, now: float) -> None:
        """A try failed, or its connection was lost before it was of any use."""
        delay = min(self._first * 2.0 ** min(self.failures, 32), self._most)
        self.failures += 1
        self._not_before = now + delay * (1.0 - 0.25 * self._random.random())

    def succeeded(self) -> None:
        """The device answered something: the next failure starts from the first delay."""
        self.failures = 0
        self._not_before = 0.0
