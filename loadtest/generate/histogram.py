"""HdrHistogram, the one place that knows the library: microseconds in, percentiles out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

_LEAST: Final = 1  # microseconds
_MOST: Final = 3_600_000_000  # microseconds: an hour
_DIGITS: Final = 3


class Histogram:
    """Counts durations, to three digits."""

    def __init__(self) -> None:
        self._hdr: Any = HdrHistogram(_LEAST, _MOST, _DIGITS)

    def add(self, counts: Mapping[int, int]) -> None:
        """``counts``: how often by microseconds."""
        for value, count in counts.items():
            self._hdr.record_value(min(_MOST, max(_LEAST, value)), count)

    @property
    def count(self) -> int:
        return int(self._hdr.get_total_count())

    @property
    def mean(self) -> float:
        return float(self._hdr.get_mean_value()) if self.count else 0.0

    @property
    def most(self) -> int:
        return int(self._hdr.get_max_value()) if self.count else 0

    def percentiles(self, wanted: Sequence[float]) -> list[int]:
        """Microseconds; zeros where nothing was counted."""
        if not self.count:
            return [0] * len(wanted)
        found = self._hdr.get_percentile_to_value_dict(list(wanted))
        return [int(found[each]) for each in wanted]

    def curve(self) -> list[tuple[float, int]]:
        """Percentiles that come ever closer to 100, and their microseconds: what is drawn."""
        if not self.count:
            return []
        steps = self._hdr.get_percentile_iterator(5)
        return [(float(step.percentile_level_iterated_to), int(step.value_iterated_to)) for step in steps]

    def encoded(self) -> str:
        """As HdrHistogram's other programs read it: V2, compressed, base64."""
        return bytes(self._hdr.encode()).decode()
