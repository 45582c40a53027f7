"""Durations counted in buckets: plain integers on the hot path, read at scrape time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from .exemplar import Exemplar
from .snapshot import HistogramSnapshot


class Histogram:
    """Counts durations in fixed buckets.

    ``record(seconds)`` only keeps the value; `fold` counts what was kept, and must be called now and then. Sorting
    many at once and finding each bound among them costs a third of finding each value's bucket.

    >>> histogram = Histogram((0.001, 0.01))
    >>> histogram.record(0.002)
    >>> histogram.snapshot().counts
    (0, 1, 0)
    """

    __slots__ = ("_bounds", "_changed", "_counts", "_exemplars", "_kept", "_shown", "_total", "record")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds``: the upper ends of the buckets in seconds, rising."""
        self._bounds = tuple(bounds)
        self._changed = False  # what was counted or shown since the last snapshot, but for what is kept
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0
        self._kept: list[float] = []
        self._exemplars: dict[int, Exemplar] = {}  # since the last snapshot
        self._shown: dict[int, Exemplar] = {}  # of all snapshots, in Unix time: to move each again and again costs more
        self.record: Callable[[float], None] = self._kept.append

    @property
    def changed(self) -> bool:
        """Whether a snapshot would not be the same as the last one."""
        return self._changed or bool(self._kept)

    def fold(self) -> None:
        """Count what was recorded since the last call."""
        kept = self._kept
        if not kept:
            return
        self._changed = True
        kept.sort()
        below = 0
        for index, bound in enumerate(self._bounds):
            upto = bisect_right(kept, bound, below)
            self._counts[index] += upto - below
            below = upto
            if upto == len(kept):
                break
        else:
            self._counts[-1] += len(kept) - below
        self._total += sum(kept)
        kept.clear()

    def show(self, exemplar: Exemplar) -> None:
        """Let it stand for the bucket of its value, which is recorded too."""
        self._changed = True
        self._exemplars[bisect_left(self._bounds, exemplar.value)] = exemplar

    def snapshot(self, wall_minus_clock: float = 0.0) -> HistogramSnapshot:
        """``wall_minus_clock``: what turns the clock's seconds into Unix time."""
        self.fold()
        for bucket, exemplar in self._exemplars.items():
            self._shown[bucket] = exemplar.moved(wall_minus_clock)
        self._exemplars.clear()
        self._changed = False
        return HistogramSnapshot(
            bounds=self._bounds,
            counts=tuple(self._counts),
            total=self._total,
            exemplars=dict(self._shown),
        )
