"""What all processes saw together, growing second by second."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final, TypeVar

import attrs

from .answers import WRONGS
from .histogram import Histogram
from .scenario import Scenario
from .tally import Counts, Ending, Ready, Second

_Key = TypeVar("_Key", str, int)
PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9, 99.99)


@attrs.define(eq=False)
class Moment:
    """One second of the run, of all processes."""

    number: int
    due: int = 0
    early: int = 0  # arrivals of a warm-up
    sent: int = 0
    answered: int = 0
    warmup: int = 0
    failed: int = 0
    late: int = 0
    connected: int = 0
    outstanding: int = 0
    counts: Counts = attrs.field(factory=dict)  # of its latencies; thrown away once they are a histogram's
    told: int = 0  # processes that have told it
    p50: int = 0  # microseconds, as the next three
    p99: int = 0
    p999: int = 0
    most: int = 0

    def close(self) -> None:
        """No process will tell more of it."""
        histogram = Histogram()
        histogram.add(self.counts)
        self.p50, self.p99, self.p999 = histogram.percentiles((50.0, 99.0, 99.9))
        self.most = histogram.most
        self.counts = {}


@attrs.define(eq=False)
class Result:
    scenario: Scenario
    latency: dict[str, Histogram] = attrs.field(factory=lambda: defaultdict(Histogram), init=False)
    total: Histogram = attrs.field(factory=Histogram, init=False)
    service: Histogram = attrs.field(factory=Histogram, init=False)
    lag: Histogram = attrs.field(factory=Histogram, init=False)
    failures: dict[str, int] = attrs.field(factory=lambda: defaultdict(int), init=False)
    events: dict[str, int] = attrs.field(factory=lambda: defaultdict(int), init=False)
    moments: list[Moment] = attrs.field(factory=list, init=False)
    endings: list[Ending] = attrs.field(factory=list, init=False)
    ready: list[Ready] = attrs.field(factory=list, init=False)
    due: int = attrs.field(default=0, init=False)
    sent: int = attrs.field(default=0, init=False)
    late: int = attrs.field(default=0, init=False)
    skipped: int = attrs.field(default=0, init=False)
    waited: int = attrs.field(default=0, init=False)
    warmup: int = attrs.field(default=0, init=False)
    passes: int = attrs.field(default=0, init=False)
    slow_passes: int = attrs.field(default=0, init=False)
    longest_pass: float = attrs.field(default=0.0, init=False)
    stopped: bool = attrs.field(default=False, init=False)  # before its time

    def add_ready(self, ready: Ready) -> None:
        self.ready.append(ready)
        _add(self.events, ready.events)

    def add(self, second: Second) -> None:
        while len(self.moments) <= second.number:
            self.moments.append(Moment(len(self.moments)))
        moment = self.moments[second.number]
        for label, counts in second.latency.items():
            self.latency[label].add(counts)
            self.total.add(counts)
            _add(moment.counts, counts)
            moment.answered += sum(counts.values())
        self.service.add(second.service)
        self.lag.add(second.lag)
        _add(self.failures, second.failures)
        _add(self.events, second.events)
        moment.failed += sum(second.failures.values())
        for name in ("due", "early", "sent", "late", "warmup", "connected", "outstanding"):
            setattr(moment, name, getattr(moment, name) + getattr(second, name))
        for name in ("due", "sent", "late", "skipped", "waited", "warmup", "passes", "slow_passes"):
            setattr(self, name, getattr(self, name) + getattr(second, name))
        self.longest_pass = max(self.longest_pass, second.longest_pass)
        moment.told += 1
        if moment.told == self.scenario.processes:
            moment.close()

    def finish(self) -> None:
        """All processes have ended, some perhaps before others."""
        for moment in self.moments:
            if moment.told < self.scenario.processes:
                moment.close()

    @property
    def answered(self) -> int:
        """Right answers that are measured."""
        return self.total.count

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def wrong(self) -> int:
        """Answers to something else: never to be excused."""
        return sum(count for kind, count in self.failures.items() if kind in WRONGS)

    @property
    def error_share(self) -> float:
        whole = self.answered + self.failed
        return self.failed / whole if whole else 0.0

    @property
    def measured_seconds(self) -> float:
        """Of the phases that count; where the run was stopped early, no more than it lasted."""
        planned = sum(phase.duration for phase in self.scenario.phases if phase.measured)
        if not self.stopped or not self.endings:
            return planned
        unmeasured = self.scenario.seconds - planned
        return max(0.001, min(planned, max(ending.seconds for ending in self.endings) - unmeasured))

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return self.answered / self.measured_seconds if self.measured_seconds else 0.0

    def rate_until(self, now: float) -> float:
        """Right answers a second so far, ``now`` seconds after the start; of the phases that count."""
        began = measured = 0.0
        for phase in self.scenario.phases:
            if phase.measured:
                measured += min(phase.duration, max(0.0, now - began))
            began += phase.duration
        return self.answered / measured if measured >= 1 else 0.0


def _add(into: dict[_Key, int], counts: Mapping[_Key, int]) -> None:
    for key, count in counts.items():
        into[key] = into.get(key, 0) + count
