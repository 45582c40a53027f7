"""How long a command usually takes on a device: learnt, and forgotten while the device is not asked. Pure."""

from __future__ import annotations

from typing import Final

_WEIGHT: Final = 0.2  # of a new observation
_HALF_LIFE: Final = 2.0  # seconds: what is not asked looks attractive again, and is tried
DECAY_EVERY: Final = 1.0  # seconds between calls of `decay`
UNKNOWN_COST: Final = 0.001  # seconds, where nothing at all is known


class LearntCosts:
    """Moving averages of durations.

    ``seconds`` is there for one look-up per request and device: code -> seconds. Only `learn` and `decay` change it.
    """

    __slots__ = ("_asked", "seconds")

    def __init__(self) -> None:
        self.seconds: dict[bytes, float] = {}
        self._asked: set[bytes] = set()

    def learn(self, code: bytes, seconds: float) -> None:
        before = self.seconds.get(code)
        self.seconds[code] = seconds if before is None else before + _WEIGHT * (seconds - before)
        self._asked.add(code)

    def keep(self, code: bytes) -> None:
        """It was answered with an error, which says nothing of what it costs: do not forget that for it.

        A device that answers errors only would else look quicker and quicker, and draw every request.
        """
        self._asked.add(code)

    def decay(self, elapsed: float) -> None:
        """``elapsed`` seconds have passed since the last call: forget a part of what was not learnt anew meanwhile."""
        factor = 0.5 ** (elapsed / _HALF_LIFE)
        for code, seconds in self.seconds.items():
            if code not in self._asked:
                self.seconds[code] = seconds * factor
        self._asked.clear()
