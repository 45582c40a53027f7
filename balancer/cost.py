"""How long a command usually takes on a device: learnt, and forgotten while the device is not asked. Pure."""

from __future__ import annotations

from typing import Final

_WEIGHT: Final = 0.2  # of a new observation
FRESH: Final = 1.0  # seconds an estimate stays as it is
_HALF_LIFE: Final = 2.0  # seconds after that: a slow device looks attractive again, and is tried
UNKNOWN_COST: Final = 0.001  # seconds, where nothing at all is known


class LearntCosts:
    """Moving averages of durations, seconds, by command code."""

    __slots__ = ("learnt",)

    def __init__(self) -> None:
        self.learnt: dict[bytes, tuple[float, float]] = {}  # code -> (seconds, when)

    def expected(self, code: bytes, now: float) -> float | None:
        """Seconds the command would take; None where it was never seen."""
        known = self.learnt.get(code)
        if known is None:
            return None
        seconds, learnt = known
        idle = now - learnt - FRESH
        return seconds if idle <= 0.0 else seconds * 0.5 ** (idle / _HALF_LIFE)

    def learn(self, code: bytes, seconds: float, now: float) -> None:
        known = self.learnt.get(code)
        if known is None:
            self.learnt[code] = (seconds, now)
            return
        before, learnt = known
        idle = now - learnt - FRESH
        if idle > 0.0:
            before *= 0.5 ** (idle / _HALF_LIFE)
        self.learnt[code] = (before + _WEIGHT * (seconds - before), now)
