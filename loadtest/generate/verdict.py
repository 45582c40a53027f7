"""Whether the figures are the target's or our own. Pure.

An open loop that sends late measures itself: what it sends late, the target answers late by the clock of the schedule.
So each run says how late its sends were, up to which percentile that can be neglected, and whether a process of the
generator was busy for nearly all of its time or had to wait for a core.
"""

from __future__ import annotations

from typing import Final

import attrs

from .result import PERCENTILES, Result

LATE_SHARE: Final = 0.01  # of the sends: from there on p99 is ours
BUSY: Final = 0.9  # of a process's time with work to do: more is no pause in which it could have been on time
CROWDED: Final = 0.1  # of a process's time spent waiting for a core that others had
SLOW_PASS: Final = 0.01  # of the passes of a loop that took longer than a late send


@attrs.frozen(kw_only=True)
class Verdict:
    """``reasons``: why the figures are the generator's, a sentence each. ``remarks``: what else to know."""

    reasons: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def bottleneck(self) -> bool:
        return bool(self.reasons)


def judge_run(result: Result) -> Verdict:
    """For a run that has ended."""
    reasons, remarks = [], []
    scenario, due = result.scenario, max(1, result.due)
    share, most = result.late / due, result.lag.most
    if result.skipped:
        reasons.append(f"{result.skipped:,} requests were skipped: the generator came to them after their timeout")
    if share >= LATE_SHARE:
        reasons.append(
            f"{share:.1%} of the sends were more than {_time(scenario.late)} late, the latest {_time(most / 1e6)}: "
            "p99 is the generator's"
        )
    elif result.late:
        trusted = [f"p{each:g}" for each in PERCENTILES if share <= (100 - each) / 100 / 2]
        remarks.append(
            f"{result.late:,} of {due:,} sends ({share:.2%}) were more than {_time(scenario.late)} late, the latest "
            f"{_time(most / 1e6)}: {f'trust figures up to {trusted[-1]}' if trusted else 'trust no percentile'}"
        )
    busiest = max((ending.wanted / ending.seconds for ending in result.endings if ending.seconds), default=0.0)
    crowded = max((ending.waiting / ending.seconds for ending in result.endings if ending.seconds), default=0.0)
    if busiest >= BUSY:
        more = "more --processes" if crowded < CROWDED else "more cores"
        reasons.append(f"a process of the generator had work to do for {busiest:.0%} of its time: give it {more}")
    elif crowded >= CROWDED:
        remarks.append(
            f"a process of the generator waited for a core for {crowded:.0%} of its time: use a quiet machine"
        )
    if result.passes and result.slow_passes / result.passes >= SLOW_PASS:
        remarks.append(
            f"{result.slow_passes / result.passes:.1%} of the loop's passes took more than {_time(scenario.late)}, the "
            f"longest {_time(result.longest_pass)}: answers waited that long to be read"
        )
    if result.waited:
        remarks.append(
            f"{result.waited:,} requests ({result.waited / due:.1%}) found every connection busy and went later; that "
            "wait counts: the target did not keep up, or there are too few --connections"
        )
    missing = [(each.wanted - each.connected, each.wanted) for each in result.ready if each.connected < each.wanted]
    if missing:
        remarks.append(
            f"{sum(part for part, _ in missing)} of {scenario.connections} connections could not be made at first"
        )
    if result.stopped:
        remarks.append("the run was stopped before its end")
    return Verdict(reasons=tuple(reasons), remarks=tuple(remarks))


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
