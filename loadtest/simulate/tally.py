"""What came of the requests: how long the clients waited, and how many were not served."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Final

from balancer.exchange import Exchange
from balancer.snapshot import Outcome

QUANTILES: Final = (0.5, 0.9, 0.99, 0.999)
# Of the curve that is drawn: even steps of "how many nines".
CURVE: Final = tuple(1.0 - 10.0 ** (-step / 8.0) for step in range(33))


class Tally:
    """Counts requests that came after the warm-up."""

    def __init__(self, since: float) -> None:
        """``since``: seconds; what came before does not count."""
        self._since = since
        self._seconds = array("d")
        self.failed: dict[str, int] = {}  # by outcome

    def ended(self, exchange: Exchange, now: float) -> None:
        if exchange.arrived < self._since:
            return
        if exchange.outcome is Outcome.OK:
            self._seconds.append(now - exchange.arrived)
        else:
            name = exchange.outcome.value
            self.failed[name] = self.failed.get(name, 0) + 1

    @property
    def ok(self) -> int:
        return len(self._seconds)

    def durations(self) -> list[float]:
        """Of what was served, seconds, rising."""
        return sorted(self._seconds)


def quantile(rising: Sequence[float], share: float) -> float:
    """The value that this share is not above; 0 where there is none."""
    return rising[min(max(math.ceil(share * len(rising)) - 1, 0), len(rising) - 1)] if rising else 0.0
