"""What one process counts, second by second, in a form that costs nothing to speak of.

Latencies are counted by their microseconds, cut to 11 binary digits (within 0.1 %): a look-up in a dict takes a tenth
of what recording in an HdrHistogram takes, and encoding one stops the loop for 5 ms. The parent makes histograms of it.
"""

from __future__ import annotations

from collections import defaultdict

import attrs
import msgspec

Counts = dict[int, int]  # microseconds, cut: how often
_DIGITS = 11


class Second(msgspec.Struct, kw_only=True):
    """One second of one process. Only measured requests are in it, but for ``warmup`` and ``connected``."""

    number: int  # since the run's start; the answers that came in this second, the requests that left in it
    due: int = 0  # arrivals of the schedule
    sent: int = 0
    warmup: int = 0  # answers to requests that are not measured
    latency: dict[str, Counts] = {}  # right answers by label; open loop: from the schedule
    service: Counts = {}  # right answers, from the real send
    lag: Counts = {}  # from an arrival's moment to its turn in our loop
    late: int = 0  # arrivals whose lag was more than `late`
    skipped: int = 0  # arrivals given up because our loop came so late
    waited: int = 0  # arrivals that found all connections busy; they went later
    failures: dict[str, int] = {}  # requests by kind
    events: dict[str, int] = {}  # of connections, by kind: lost, refused
    connected: int = 0  # connections at the second's end
    outstanding: int = 0  # requests at the second's end
    passes: int = 0  # of the loop
    slow_passes: int = 0  # that took more than `late`
    longest_pass: float = 0.0  # seconds


class Ending(msgspec.Struct, kw_only=True):
    """The last word of a process."""

    cpu: float  # seconds, user and system, since the start of the run
    wanted: float  # seconds it had work to do: it ran, or waited for a core
    waiting: float  # seconds of those that it waited for a core
    seconds: float  # of the run, until the last answer


class Ready(msgspec.Struct, kw_only=True):
    """A process has tried all its connections."""

    connected: int
    wanted: int
    events: dict[str, int]  # why others are not connected


class Told(msgspec.Struct, kw_only=True):
    """A line from a process: one of these."""

    ready: Ready | None = None
    second: Second | None = None
    ending: Ending | None = None


def cut(microseconds: int) -> int:
    """The same to 11 binary digits."""
    spare = microseconds.bit_length() - _DIGITS
    return microseconds if spare <= 0 else (microseconds >> spare) << spare


@attrs.define(eq=False)
class Tally:
    """Counts until `take`. All times in seconds."""

    late_after: float
    latency: dict[str, Counts] = attrs.field(factory=lambda: defaultdict(dict), init=False)
    service: Counts = attrs.field(factory=dict, init=False)
    lag: Counts = attrs.field(factory=dict, init=False)
    failures: dict[str, int] = attrs.field(factory=lambda: defaultdict(int), init=False)
    events: dict[str, int] = attrs.field(factory=lambda: defaultdict(int), init=False)
    due: int = attrs.field(default=0, init=False)
    sent: int = attrs.field(default=0, init=False)
    warmup: int = attrs.field(default=0, init=False)
    late: int = attrs.field(default=0, init=False)
    skipped: int = attrs.field(default=0, init=False)
    waited: int = attrs.field(default=0, init=False)
    passes: int = attrs.field(default=0, init=False)
    slow_passes: int = attrs.field(default=0, init=False)
    longest_pass: float = attrs.field(default=0.0, init=False)

    def arrived(self, lag: float) -> None:
        """An arrival had its turn in the loop, ``lag`` after its moment."""
        self.due += 1
        _count(self.lag, lag)
        if lag > self.late_after:
            self.late += 1

    def answered(self, label: str, latency: float, service: float) -> None:
        """A right answer."""
        _count(self.latency[label], latency)
        _count(self.service, service)

    def passed(self, took: float) -> None:
        """The loop went round once."""
        self.passes += 1
        if took > self.late_after:
            self.slow_passes += 1
        if took > self.longest_pass:
            self.longest_pass = took

    def take(self, number: int, *, connected: int, outstanding: int) -> Second:
        """Everything since the last time; counting begins anew."""
        second = Second(
            number=number, due=self.due, sent=self.sent, warmup=self.warmup, latency=dict(self.latency),
            service=self.service, lag=self.lag, late=self.late, skipped=self.skipped, waited=self.waited,
            failures=dict(self.failures), events=dict(self.events), connected=connected, outstanding=outstanding,
            passes=self.passes, slow_passes=self.slow_passes, longest_pass=self.longest_pass,
        )  # fmt: skip
        self.__init__(self.late_after)  # type: ignore[misc]
        return second


def _count(counts: Counts, seconds: float) -> None:
    value = int(seconds * 1_000_000)
    spare = value.bit_length() - _DIGITS
    if spare > 0:
        value = (value >> spare) << spare
    counts[value] = counts.get(value, 0) + 1
