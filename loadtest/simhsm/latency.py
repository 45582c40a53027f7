"""How long a device works on a request."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from random import Random
from statistics import NormalDist
from typing import Final, Protocol

import attrs

_P99: Final = NormalDist().inv_cdf(0.99)


class Latency(Protocol):
    def draw(self, code: str, elapsed: float, random: Random) -> float:
        """Seconds for one request of function `code`, `elapsed` seconds after the device started."""


@attrs.frozen
class Constant:
    seconds: float = 0.0

    def draw(self, code: str, elapsed: float, random: Random) -> float:
        return self.seconds


NO_TIME: Final = Constant()


@attrs.frozen
class LogNormal:
    """Half of all requests take up to `median` seconds, 99 of 100 up to `p99`."""

    median: float
    p99: float

    def draw(self, code: str, elapsed: float, random: Random) -> float:
        sigma = math.log(self.p99 / self.median) / _P99
        return self.median * math.exp(sigma * random.gauss(0, 1))


@attrs.frozen
class Percentiles:
    """Linear between points of (percentile, seconds) in rising order, constant before the first and after the last."""

    points: Sequence[tuple[float, float]]

    def draw(self, code: str, elapsed: float, random: Random) -> float:
        at = random.uniform(0, 100)
        above = bisect_left(self.points, (at, 0.0))
        if above == 0:
            return self.points[0][1]
        if above == len(self.points):
            return self.points[-1][1]
        (left, low), (right, high) = self.points[above - 1], self.points[above]
        return low + (high - low) * (at - left) / (right - left)


@attrs.frozen
class Steps:
    """Slow, then fast (or the reverse): from each start, in seconds after the device started, another latency."""

    steps: Sequence[tuple[float, Latency]]  # rising starts, the first at 0

    def draw(self, code: str, elapsed: float, random: Random) -> float:
        current = self.steps[0][1]
        for start, latency in self.steps:
            if elapsed >= start:
                current = latency
        return current.draw(code, elapsed, random)


@attrs.frozen
class PerCommand:
    commands: Mapping[str, Latency]
    otherwise: Latency = NO_TIME

    def draw(self, code: str, elapsed: float, random: Random) -> float:
        return self.commands.get(code, self.otherwise).draw(code, elapsed, random)
