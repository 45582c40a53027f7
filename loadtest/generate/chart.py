"""A finished run as one SVG file: latency by percentile, answers and latency over time."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from loadtest import svg

from .arrivals import stretches
from .result import Moment, Result
from .text_report import describe_phase, duration, headline, mix_text
from .verdict import Verdict

_WIDTH: Final = 960
_MARGIN: Final = 76
_INNER: Final = _WIDTH - _MARGIN - 32
_MOST_PHASES: Final = 4  # that are written out
_CLOSEST: Final = 99.999  # percentile at the right end at most
_LETTERS: Final = 128  # of a line of small text
_WARMUP: Final = 60  # units that its word takes
_BAR: Final = 0.6  # seconds: the width of what failed in a second
_STYLE: Final = """
.figure{font-size:19px;font-weight:600;fill:#0b0b0b}
.tile{fill:#f1f1ee}.band{fill:#f1f1ee}
.alarm{fill:#fdecec;stroke:#c4262e}.red{fill:#c4262e;font-weight:600}.bar{fill:#c4262e;opacity:.75}
.area{stroke:none;opacity:.14}
@media (prefers-color-scheme:dark){
.figure{fill:#fff}.tile{fill:#262625}.band{fill:#232322}
.alarm{fill:#3a1d1f;stroke:#ff7f78}.red{fill:#ff7f78}.bar{fill:#ff7f78}
}
"""
_Point = tuple[float, float]


def render(result: Result, verdict: Verdict, machine: Mapping[str, str | int], *, started: str) -> str:
    """The file's text."""
    scenario = result.scenario
    title = headline(scenario)
    y = 36.0
    parts = [svg.text(32, y, title[0].upper() + title[1:], "title")]
    for line in _wrapped([*_phases(result), f"mix: {mix_text(scenario)}"]):
        y += 18
        parts.append(svg.text(32, y, line, "small"))
    y += 18
    parts += _tiles(result, y)
    y += 78
    if verdict.bottleneck:
        parts += _alarm(verdict, y)
        y += 40 + 18 * len(_wrapped(verdict.reasons))
    for panel, height in ((_by_percentile, 240), (_throughput, 150), (_latency, 200)):
        if drawn := panel(result, y + 40, height):
            parts += drawn
            y += height + 90
    footer = [
        *verdict.remarks,
        f"Started {started}. " + "; ".join(f"{name} {value}" for name, value in machine.items()),
    ]
    for line in _wrapped(footer):
        y += 18
        parts.append(svg.text(32, y, line, "small"))
    told = f"{title}: {result.answered:,} right answers, {result.failed:,} failed"
    return svg.document(_WIDTH, round(y + 24), told, parts, style=_STYLE)


def _phases(result: Result) -> list[str]:
    phases = [describe_phase(phase, result.scenario.loop) for phase in result.scenario.phases]
    more = len(phases) - _MOST_PHASES
    return ["; then ".join(phases[:_MOST_PHASES]) + (f"; and {more} more" if more > 0 else "")]


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, _LETTERS)]


def _tiles(result: Result, top: float) -> list[str]:
    p50, p99, p999 = (duration(value) for value in result.total.percentiles((50.0, 99.0, 99.9)))
    tiles = [
        ("answers/s", f"{result.rate:,.0f}", ""),
        ("p50", p50, ""),
        ("p99", p99, ""),
        ("p99.9", p999, ""),
        ("longest", duration(result.total.most), ""),
        (f"failed: {result.error_share:.2%}", f"{result.failed:,}", " red" if result.failed else ""),
    ]
    if result.scenario.loop == "open":  # a closed loop has no moments to be late for
        tiles.append(("late sends", f"{result.late:,}", ""))
    width = (_WIDTH - 64 - 8 * (len(tiles) - 1)) / len(tiles)
    parts = []
    for number, (name, figure, kind) in enumerate(tiles):
        left = 32 + number * (width + 8)
        parts.append(_box(left, top, width, 60, "tile", corner=6))
        parts.append(svg.text(left + 12, top + 22, name, "small"))
        parts.append(svg.text(left + 12, top + 46, figure, f"figure{kind}"))
    return parts


def _alarm(verdict: Verdict, top: float) -> list[str]:
    lines = _wrapped(verdict.reasons)
    box = _box(32, top, _WIDTH - 64, 30 + 18 * len(lines), "alarm", corner=6)
    said = "The generator was the bottleneck: these figures are its own, not the target's"
    return [
        box,
        svg.text(44, top + 20, said, "red"),
        *(svg.text(44, top + 38 + 18 * number, line, "") for number, line in enumerate(lines)),
    ]


def _nines(percentile: float) -> float:
    """How close to 100: 2 at 50, 10 at 90, 100 at 99."""
    return 100 / (100 - min(percentile, _CLOSEST))


def _by_percentile(result: Result, top: float, height: float) -> list[str]:
    if not result.answered:
        return []
    curve, service = result.total.curve(), result.service.curve()
    opened = result.scenario.loop == "open"
    y = svg.around([value for _, value in [*curve, *(service if opened else [])]], logarithmic=True)
    # No further to the right than there are requests to tell.
    closest = min(_nines(_CLOSEST), max(20.0, float(result.answered)))
    panel = _panel(top, height, svg.Scale(1.0, closest, logarithmic=True), y)
    marks = {_nines(at): f"{at:g} %" for at in (0.0, 50.0, 90.0, 99.0, 99.9, 99.99) if _nines(at) <= closest}
    lines = [("l s0", "from the schedule" if opened else "from request to answer")]
    parts = [panel.across(duration), panel.along(marks.__getitem__, list(marks))]
    if opened:
        lines.append(("l s7 dash", "from the send"))
        parts.append(panel.line([(_nines(at), value) for at, value in service], "l s7 dash"))
    parts.append(panel.line([(_nines(at), value) for at, value in curve], "l s0"))
    return [*_heading("Latency by percentile", top, lines), *parts]


def _panel(top: float, height: float, x: svg.Scale, y: svg.Scale) -> svg.Panel:
    return svg.Panel(left=_MARGIN, top=top, width=_INNER, height=height, x=x, y=y)


def _heading(title: str, top: float, lines: Sequence[tuple[str, str]]) -> list[str]:
    """``lines``: the classes of each, and its words."""
    drawn, _ = svg.legend(_MARGIN + 320, top - 16, _INNER - 320, lines)
    return [svg.text(_MARGIN, top - 16, title, "head"), drawn]


def _told(result: Result) -> list[Moment]:
    """The seconds that have something to show: the last one is often nothing but its first moment."""
    moments = list(result.moments)
    while moments and moments[-1].number >= result.scenario.seconds - 0.5 and not _anything(moments[-1]):
        moments.pop()
    return moments


def _anything(moment: Moment) -> bool:
    return bool(moment.answered or moment.failed or moment.due or moment.warmup)


def _over_time(
    result: Result, top: float, height: float, y: svg.Scale, label: Callable[[float], str]
) -> tuple[svg.Panel, list[str]]:
    """A panel over the run's seconds with its ground; ``label`` is of the y scale."""
    panel = _panel(top, height, svg.Scale(0.0, float(max(1, _told(result)[-1].number + 1))), y)
    grid = [panel.across(label)]
    bands = []
    for stretch in stretches(result.scenario.phases):
        if not stretch.phase.measured:
            left, right = (panel.place(moment, y.low)[0] for moment in (stretch.began, stretch.ends))
            bands.append(_box(left, top, right - left, height, "band"))
            if right - left > _WARMUP:
                middle = (left + right) / 2
                grid.append(_box(middle - _WARMUP / 2, top + 1, _WARMUP, 18, "band"))
                grid.append(svg.text(middle, top + 14, "warm-up", "small", "middle"))
    seconds = [tick for tick in panel.x.ticks() if tick == int(tick)]
    return panel, [*bands, *grid, panel.along(lambda value: f"{value:g} s", seconds)]


def _box(left: float, top: float, width: float, height: float, kind: str, corner: int = 0) -> str:
    place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} rx="{corner}" class="{kind}"/>'


def _series(moments: Sequence[Moment], figure: Callable[[Moment], float]) -> list[_Point]:
    return [(moment.number + 0.5, float(figure(moment))) for moment in moments]


def _line(panel: svg.Panel, points: Sequence[_Point], series: int, more: str = "") -> list[str]:
    """With a gap where seconds are missing; a second between two gaps is a dot."""
    pieces: list[list[_Point]] = []
    for point in points:
        if pieces and point[0] - pieces[-1][-1][0] < 1.5:
            pieces[-1].append(point)
        else:
            pieces.append([point])
    return [
        panel.line(piece, f"l s{series}{more}") if len(piece) > 1 else panel.mark(*piece[0], series, 3.0)
        for piece in pieces
    ]


def _throughput(result: Result, top: float, height: float) -> list[str]:
    # A second that had hardly begun when the last answer came has no rate.
    moments = [moment for moment in _told(result) if moment.number < max(1, round(result.scenario.seconds))]
    if not moments:
        return []
    arrived = _series(moments, lambda moment: moment.due + moment.early)
    answered = _series(moments, lambda moment: moment.answered + moment.warmup)
    failed = _series(_told(result), lambda moment: moment.failed)
    y = svg.around([value for _, value in [*arrived, *answered, *failed]], logarithmic=False)
    panel, parts = _over_time(result, top, height, y, lambda value: f"{value:,g}")
    floor = [(answered[-1][0], 0.0), (answered[0][0], 0.0)]
    area = " ".join(f"{x:.1f},{y:.1f}" for x, y in (panel.place(*point) for point in [*answered, *floor]))
    parts.append(f'<polygon points="{area}" class="area f s0"/>')
    lines = [("l s0", "right answers")]
    if result.scenario.loop == "open":
        lines.append(("l s7 dash", "arrived"))
        parts += _line(panel, arrived, 7, " dash")
    parts += _line(panel, answered, 0)
    for moment, count in failed:
        if count:
            left, high = panel.place(moment - _BAR / 2, count)
            right, ground = panel.place(moment + _BAR / 2, 0.0)
            high = min(high, ground - 2)
            parts.append(_box(left, high, max(1.5, right - left), ground - high, "bar"))
    if result.failed:
        parts.append(svg.text(_MARGIN + _INNER, top - 16, "\N{BLACK SQUARE} failed", "red", "end"))
    return [*_heading("Answers a second", top, lines), *parts]


def _latency(result: Result, top: float, height: float) -> list[str]:
    moments = [moment for moment in _told(result) if moment.answered]
    if not moments:
        return []
    y = svg.around([value for moment in moments for value in (moment.p50, moment.most)], logarithmic=True)
    panel, parts = _over_time(result, top, height, y, duration)
    lines = [("l s1", "longest"), ("l s2", "p99"), ("l s0", "p50")]
    parts += _line(panel, _series(moments, lambda moment: moment.most), 1)
    parts += _line(panel, _series(moments, lambda moment: moment.p99), 2)
    parts += _line(panel, _series(moments, lambda moment: moment.p50), 0)
    return [*_heading("Latency of the answers of each second", top, lines), *parts]
