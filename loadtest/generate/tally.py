"""What one process counts, second by second, in a form that costs nothing to speak of.

Latencies are counted by their microseconds, cut to 11 binary digits (within 0.1 %): a look-up in a dict takes a tenth
of what recording in an HdrHistogram takes, and encoding one stops the loop for 5 ms. The parent makes histograms of it.
"""

from __future__ import annotations

from typing import Final

import msgspec

Counts = dict[int, int]  # microseconds, cut: how often
_DIGITS: Final = 11


class Second(msgspec.Struct, kw_only=True):
    """One second of one process. Only measured requests are in it, but for ``early`` and ``warmup``."""

    number: int  # since the run's start; the answers that came in this second, the requests that left in it
    due: int = 0  # arrivals of the schedule
    early: int = 0  # those of a warm-up
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


class Tally:
    """Counts into ``second`` until `take`; ``late_after`` is in seconds."""

    def __init__(self, late_after: float) -> None:
        self.second = Second(number=0)
        self._late_after = late_after

    def arrived(self, lag: float) -> None:
        """A measured arrival had its turn in the loop, ``lag`` seconds after its moment."""
        second = self.second
        second.due += 1
        _count(second.lag, lag)
        if lag > self._late_after:
            second.late += 1

    def answered(self, label: str, latency: float, service: float) -> None:
        """A right answer; seconds."""
        second = self.second
        counts = second.latency.get(label)
        if counts is None:
            counts = second.latency[label] = {}
        _count(counts, latency)
        _count(second.service, service)

    def failed(self, kind: str) -> None:
        """A request, for that reason."""
        self.second.failures[kind] = self.second.failures.get(kind, 0) + 1

    def happened(self, kind: str) -> None:
        """To a connection."""
        self.second.events[kind] = self.second.events.get(kind, 0) + 1

    def passed(self, took: float) -> None:
        """The loop went round once, in so many seconds."""
        second = self.second
        second.passes += 1
        if took > self._late_after:
            second.slow_passes += 1
        second.longest_pass = max(second.longest_pass, took)

    def take(self, number: int, *, connected: int, outstanding: int) -> Second:
        """Everything since the last time; counting begins anew."""
        second, self.second = self.second, Second(number=0)
        second.number, second.connected, second.outstanding = number, connected, outstanding
        return second

    def take_events(self) -> dict[str, int]:
        """What happened to connections, before the run."""
        return self.take(0, connected=0, outstanding=0).events


def _count(counts: Counts, seconds: float) -> None:
    value = int(seconds * 1_000_000)
    spare = value.bit_length() - _DIGITS
    if spare > 0:
        value = (value >> spare) << spare
    counts[value] = counts.get(value, 0) + 1
