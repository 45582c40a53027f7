"""When requests arrive. Pure: phases in, moments out.

The expected number of arrivals until a moment is a function that only grows, of straight lines (a steady rate) and
parabolas (a ramp). Its inverse turns counts into moments: one step of 1 for each arrival gives even arrivals, steps of
an exponential draw of mean 1 give a Poisson process of that rate. Of several processes each takes a share: even ones
every n-th arrival, Poisson ones steps n times as long, whose union is again a Poisson process.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from .scenario import Phase

if TYPE_CHECKING:
    from random import Random

BURST_STEP: Final = 0.00005  # seconds from one request of a burst to the next of that process: what sending one takes


@attrs.frozen(kw_only=True)
class Share:
    """Which part of the load one process has."""

    index: int = 0
    count: int = 1

    def numbers(self, total: int) -> range:
        """Its part of ``total`` things that are numbered from 0."""
        return range(self.index, total, self.count)


def arrivals(phases: Sequence[Phase], share: Share, chance: Random | None) -> Iterator[float]:
    """Seconds from the run's start, in order. ``chance``: for Poisson arrivals; None for even ones."""
    return heapq.merge(_steady(phases, share, chance), _bursts(phases, share))


def _steady(phases: Sequence[Phase], share: Share, chance: Random | None) -> Iterator[float]:
    wanted = float(share.index) if chance is None else chance.expovariate(1) * share.count
    before = began = 0.0  # arrivals until this phase, and when it began
    for phase in phases:
        first = phase.rate or 0.0
        last = first if phase.to_rate is None else phase.to_rate
        total = (first + last) / 2 * phase.duration
        while wanted - before < total:
            yield began + _moment(wanted - before, first, last, phase.duration)
            wanted += share.count * (1.0 if chance is None else chance.expovariate(1))
        before += total
        began += phase.duration


def _moment(count: float, first: float, last: float, duration: float) -> float:
    """When ``count`` have arrived, of a rate that goes from ``first`` to ``last``: first*t + slope/2*t² = count."""
    slope = (last - first) / duration
    root = math.sqrt(max(0.0, first * first + 2 * slope * count))
    # This form of the solution loses no digits where the slope is near 0.
    return min(duration, 2 * count / (first + root)) if count else 0.0


def _bursts(phases: Sequence[Phase], share: Share) -> Iterator[float]:
    began = 0.0
    for phase in phases:
        if phase.burst is not None:
            times = 1 if phase.every is None else max(1, math.ceil(phase.duration / phase.every - 1e-9))
            for turn in range(times):
                for place, _ in enumerate(share.numbers(phase.burst)):
                    yield began + turn * (phase.every or 0.0) + place * BURST_STEP
        began += phase.duration


@attrs.frozen
class Stretch:
    """A phase in the run's time."""

    began: float
    ends: float
    phase: Phase

    def clients(self, moment: float, connections: int) -> int:
        """How many connections take part in a closed loop at that moment."""
        first = connections if self.phase.clients is None else self.phase.clients
        last = first if self.phase.to_clients is None else self.phase.to_clients
        share = min(1.0, max(0.0, (moment - self.began) / self.phase.duration))
        return round(first + (last - first) * share)


def stretches(phases: Sequence[Phase]) -> list[Stretch]:
    found: list[Stretch] = []
    began = 0.0
    for phase in phases:
        found.append(Stretch(began, began + phase.duration, phase))
        began += phase.duration
    return found
