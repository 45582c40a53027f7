"""The measured part of docs/performance.md, and the file for programs. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from .figures import Measurement, Spread
from .readings import Figure, Readings
from .targets import REFERENCE, Outcome, Target, Verdict

BEGIN: Final = "<!-- measured: `make compare` writes everything from here -->"
END: Final = "<!-- measured: to here -->"


class MarksMissingError(Exception):
    """The page has no place for what was measured."""


@attrs.frozen(kw_only=True)
class Chapter:
    """One scenario, as the page tells it."""

    title: str
    note: str
    figures: Sequence[Figure]


@attrs.frozen(kw_only=True)
class Report:
    """Everything of one run."""

    machine: Mapping[str, str | int]
    method: str
    chapters: Sequence[Chapter]
    readings: Readings
    verdicts: Sequence[Verdict]
    runs: Sequence[tuple[str, Measurement]]
    remarks: Sequence[str]


def show(spread: Spread | None, digits: int) -> str:
    """The median, and least and most where they differ from it."""
    if spread is None:
        return "-"
    median, least, most = (f"{value:,.{digits}f}" for value in (spread.median, spread.least, spread.most))
    return median if least == most else f"{median} ({least} to {most})"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown that is as easily read as it stands; the first row has the headings."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def _bound(target: Target) -> str:
    return f"{target.bound.value} {target.value:g}"


def _verdicts(verdicts: Sequence[Verdict]) -> list[str]:
    rows = [["Target (ours to HAProxy's, in the same round)", "Wanted", "Measured", "Met?"]]
    for verdict in verdicts:
        digits = 2 if verdict.target.ratio else 0
        rows.append(
            [
                verdict.target.title,
                _bound(verdict.target),
                show(verdict.measured, digits),
                verdict.outcome.value if verdict.outcome is not Outcome.MISSED else f"**{verdict.outcome.value}**",
            ]
        )
    return table(rows)


def _chapter(chapter: Chapter, readings: Readings) -> list[str]:
    names = [figure.name for figure in chapter.figures]
    contenders = readings.contenders(names)
    rows = [["", *contenders]]
    for figure in chapter.figures:
        if figure.name not in readings:
            continue
        unit = f", {figure.unit}" if figure.unit else ""
        cells = [show(readings.spread(figure.name, contender), figure.digits) for contender in contenders]
        rows.append([f"{figure.title}{unit}", *cells])
        ratios = [readings.ratio(figure.name, contender, REFERENCE) for contender in contenders]
        if any(ratio is not None for ratio in ratios):
            cells = [
                "1" if contender == REFERENCE else show(ratio, 2)
                for contender, ratio in zip(contenders, ratios, strict=True)
            ]
            rows.append(["... to HAProxy's", *cells])
    measured = table(rows) if len(rows) > 1 else ["Not measured."]
    return [f"### {chapter.title}", "", chapter.note, "", *measured, ""]


def render(report: Report) -> str:
    """All of it, as Markdown."""
    lines = ["### Targets", "", report.method, "", *_verdicts(report.verdicts), ""]
    for chapter in report.chapters:
        lines += _chapter(chapter, report.readings)
    lines += ["### On what", "", *(f"* {name}: {value}" for name, value in report.machine.items()), ""]
    if report.remarks:
        lines += ["### To be known of this run", "", *(f"* {remark}" for remark in report.remarks), ""]
    return "\n".join(lines)


def put_into(page: str, measured: str) -> str:
    """The page with what stands between the two marks replaced. Raises MarksMissingError."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise MarksMissingError(f"the page has no lines {BEGIN!r} and {END!r} to write between")
    return f"{before}{begin}\n\n{measured}\n{end}{after}"


def as_json(report: Report) -> str:
    """Everything, each single run too."""
    told = {
        "machine": dict(report.machine),
        "method": report.method,
        "targets": [
            {
                "scenario": verdict.target.scenario,
                "title": verdict.target.title,
                "figure": verdict.target.figure,
                "contender": verdict.target.contender,
                "wanted": _bound(verdict.target),
                "ratio": verdict.target.ratio,
                "measured": None if verdict.measured is None else attrs.asdict(verdict.measured),
                "outcome": verdict.outcome.value,
            }
            for verdict in report.verdicts
        ],
        "readings": [
            {"figure": figure, "contender": contender, "round": turn, "value": value}
            for figure, contender, turn, value in report.readings.all()
        ],
        "runs": [
            {"what": what} | attrs.asdict(run) | {"cost": run.cost, "rate": run.rate} for what, run in report.runs
        ],
        "remarks": list(report.remarks),
    }
    return json.dumps(told, indent=1) + "\n"
