"""What the clients saw: counts, times and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs


@attrs.define(eq=False)
class Tally:
    """A request is counted once, with its time, when it is over."""

    reads: int = 0
    writes: int = 0
    failed_reads: int = 0
    failed_writes: int = 0
    unknown: int = 0  # writes whose outcome nobody can know (903): not failed, and never sent again
    reasons: Counter[str] = attrs.field(factory=Counter)
    seconds: list[float] = attrs.field(factory=list)

    @property
    def requests(self) -> int:
        return self.reads + self.writes

    @property
    def errors(self) -> int:
        return self.failed_reads + self.failed_writes

    def over(self, write: bool, seconds: float) -> None:
        if write:
            self.writes += 1
        else:
            self.reads += 1
        self.seconds.append(seconds)

    def failed(self, write: bool, reason: str) -> None:
        if write:
            self.failed_writes += 1
        else:
            self.failed_reads += 1
        self.reasons[reason] += 1

    def percentile(self, share: float, since: int = 0) -> float:
        """In seconds, of the requests from number `since` on; 0 where there is none."""
        return percentile(self.seconds[since:], share)


def percentile(seconds: Sequence[float], share: float) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
