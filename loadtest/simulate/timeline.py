"""Virtual time: what happens when, in order."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class Timeline:
    """Actions run at their time, those of one time in the order in which they were planned."""

    def __init__(self) -> None:
        self.now = 0.0  # seconds
        self._planned: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def clock(self) -> float:
        return self.now

    def at(self, when: float, action: Callable[..., None], *arguments: Any) -> None:
        """``when``: seconds; what lies in the past happens next."""
        self._count += 1
        heappush(self._planned, (when, self._count, action, arguments))

    def after(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now + seconds, action, *arguments)

    def run(self, until: float) -> None:
        """Let everything happen that is planned before ``until`` (seconds)."""
        planned = self._planned
        while planned and planned[0][0] < until:
            when, _, action, arguments = heappop(planned)
            if when > self.now:
                self.now = when
            action(*arguments)
        self.now = until
