"""A finished run in words and a small table, for a terminal or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .histogram import Histogram
from .requirement import Requirement
from .result import PERCENTILES, Result
from .scenario import Phase, Scenario
from .verdict import Verdict

_HEADINGS: Final = ("", "requests", "mean", *(f"p{each:g}" for each in PERCENTILES), "max")


def duration(microseconds: float) -> str:
    """Three digits, with the unit that fits: 870 µs, 1.23 ms, 2.5 s."""
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:.3g} ms" if microseconds < 999_500 else "1 s"
    return f"{microseconds / 1_000_000:.3g} s" if microseconds < 999_500_000 else f"{microseconds / 1e6:.0f} s"


def describe_phase(phase: Phase, loop: str) -> str:
    """Such as ``500/s to 2,000/s for 30 s``."""
    if loop == "open":
        parts = [] if phase.rate is None else [f"{phase.rate:,g}/s"]
        if phase.to_rate is not None:
            parts[0] += f" to {phase.to_rate:,g}/s"
        if phase.burst is not None:
            parts.append(f"{phase.burst:,} at once" + (f" each {phase.every:g} s" if phase.every is not None else ""))
        said = " and ".join(parts)
    else:
        said = (
            "all clients" if phase.clients is None else f"{phase.clients:,} client{'' if phase.clients == 1 else 's'}"
        )
        said += f" to {phase.to_clients:,}" if phase.to_clients is not None else ""
    return f"{said} for {phase.duration:g} s{'' if phase.measured else ' (warm-up)'}"


def headline(scenario: Scenario) -> str:
    """What was done, in a line."""
    loop = "closed loop" if scenario.loop == "closed" else f"open loop ({scenario.arrivals} arrivals)"
    targets = ", ".join(str(target) for target in scenario.target)
    processes = "" if scenario.processes == 1 else f", {scenario.processes} processes"
    depth = f"{scenario.allowed} outstanding each" if scenario.allowed > 1 else "1 outstanding each"
    return f"{loop} on {targets}: {scenario.connections:,} connections, {depth}{processes}"


def mix_text(scenario: Scenario) -> str:
    whole = sum(command.weight for command in scenario.mix)
    return ", ".join(f"{command.label} {command.weight / whole:.0%}" for command in scenario.mix)


def render(
    result: Result,
    verdict: Verdict,
    requirements: Sequence[Requirement],
    machine: Mapping[str, str | int],
    *,
    started: str,
) -> str:
    """``started``: date and time."""
    scenario = result.scenario
    lines = [headline(scenario), *(f"  {describe_phase(phase, scenario.loop)}" for phase in scenario.phases)]
    lines += [f"  mix: {mix_text(scenario)}", ""]
    lines += _requests(result)
    lines += ["", *_latencies(result)]
    lines += _counted("Requests that failed", result.failures)
    lines += _counted("Connections that ended, or could not be made", result.events)
    if requirements:
        lines += ["", "Required"]
        lines += [f"  {'met' if each.met(result) else 'NOT MET':8} {each.text}" for each in requirements]
    lines += ["", "The generator", *(f"  {line}" for line in generator_lines(result, verdict))]
    lines += ["", f"Started {started} on: " + "; ".join(f"{name} {value}" for name, value in machine.items())]
    return "\n".join(lines) + "\n"


def _requests(result: Result) -> list[str]:
    asked = ""
    if result.scenario.loop == "open" and result.measured_seconds:
        asked = f" of {result.due / result.measured_seconds:,.0f}/s that arrived"
    lines = [
        f"{result.answered:,} right answers in {round(result.measured_seconds, 1):g} s: {result.rate:,.0f}/s{asked}"
    ]
    if result.failed:
        lines.append(f"{result.failed:,} requests failed: {result.error_share:.2%}")
    else:
        lines.append("no request failed")
    return lines


def _latencies(result: Result) -> list[str]:
    opened = result.scenario.loop == "open"
    rows = [_row("from the schedule" if opened else "all", result.total)]
    if opened:
        rows.append(_row("from the send", result.service))
    if len(result.latency) > 1:
        rows += [_row(label, result.latency[label]) for label in sorted(result.latency)]
    table = [list(_HEADINGS), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEADINGS))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in table
    ]


def _row(label: str, histogram: Histogram) -> list[str]:
    if not histogram.count:
        return [label, "0", *["-"] * (len(PERCENTILES) + 2)]
    values = [duration(value) for value in histogram.percentiles(PERCENTILES)]
    return [label, f"{histogram.count:,}", duration(histogram.mean), *values, duration(histogram.most)]


def _counted(title: str, counts: Mapping[str, int]) -> list[str]:
    if not counts:
        return []
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ["", title, *(f"  {count:>9,}  {kind}" for kind, count in ordered)]


def generator_lines(result: Result, verdict: Verdict) -> list[str]:
    """Whether the figures can be believed."""
    lines = []
    if verdict.bottleneck:
        lines.append("WAS THE BOTTLENECK: these figures are its own, not the target's")
        lines += [f"! {reason}" for reason in verdict.reasons]
    else:
        busiest = max((ending.wanted / ending.seconds for ending in result.endings if ending.seconds), default=0.0)
        on_time = ""
        if result.scenario.loop == "open" and result.lag.count:
            p50, p99 = result.lag.percentiles((50.0, 99.0))
            on_time = f"; sends were late by {duration(p50)} (p50), {duration(p99)} (p99)"
        lines.append(f"was not the bottleneck: had work to do for {busiest:.0%} of its time{on_time}")
    return lines + [f"- {remark}" for remark in verdict.remarks]
