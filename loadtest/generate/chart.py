"""A finished run as one SVG file: latency by percentile, answers and latency over time; for light and dark pages.

No script and no font of its own, so that it shows the same in a browser, in a page and in a repository's viewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import quoteattr

from .arrivals import stretches
from .plot import Panel, Scale, Tick, decades, labelled, round_ticks, text
from .result import Moment, Result
from .text_report import describe_phase, duration, headline, mix_text
from .verdict import Verdict

_WIDTH: Final = 960
_MARGIN: Final = 76
_INNER: Final = _WIDTH - _MARGIN - 32
_MOST_PHASES: Final = 4  # that are written out
_CLOSEST: Final = 99.999  # percentile at the right end at most
_LETTERS: Final = 128  # of a line of small text
_STYLE: Final = """
svg { color-scheme: light dark; --ground: #ffffff; --ink: #1b1f24; --quiet: #5b6470; --grid: #e4e7eb; --band: #f1f3f6;
  --blue: #2563c9; --orange: #b9500c; --teal: #0d7a6f; --red: #c4262e; --alarm: #fdecec; --tile: #f6f7f9; }
@media (prefers-color-scheme: dark) {
  svg { --ground: #14171c; --ink: #e8eaed; --quiet: #a0a9b4; --grid: #2b313a; --band: #1c2129;
    --blue: #79b0ff; --orange: #ffb27a; --teal: #5fd6c6; --red: #ff7f78; --alarm: #3a1d1f; --tile: #1c2129; }
}
text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
.head { font-size: 18px; font-weight: 600; }
.title { font-size: 14px; font-weight: 600; }
.figure { font-size: 19px; font-weight: 600; }
.tick, .legend, .small { fill: var(--quiet); }
.alarm-text { fill: var(--red); font-weight: 600; }
.ground { fill: var(--ground); }
.tile { fill: var(--tile); }
.alarm { fill: var(--alarm); stroke: var(--red); }
.band { fill: var(--band); }
.grid { stroke: var(--grid); }
.axis { stroke: var(--quiet); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.area { stroke: none; opacity: 0.15; }
.blue { stroke: var(--blue); } .orange { stroke: var(--orange); }
.teal { stroke: var(--teal); } .red { stroke: var(--red); }
.quiet { stroke: var(--quiet); stroke-dasharray: 5 4; stroke-width: 1.5; }
.area.blue, .dot.blue { fill: var(--blue); } .dot.orange { fill: var(--orange); } .dot.teal { fill: var(--teal); }
.bar { stroke: none; opacity: 0.75; } .bar.red { fill: var(--red); }
"""


def render(result: Result, verdict: Verdict, machine: Mapping[str, str | int], *, started: str) -> str:
    """The file's text."""
    scenario = result.scenario
    y = 36.0
    title = headline(scenario)
    parts = [text(32, y, title[0].upper() + title[1:], "head")]
    for line in _wrapped([*_phases(result), f"mix: {mix_text(scenario)}"]):
        y += 18
        parts.append(text(32, y, line, "small"))
    y += 18
    parts += _tiles(result, y)
    y += 78
    if verdict.bottleneck:
        parts += _alarm(verdict, y)
        y += 40 + 18 * len(_wrapped(verdict.reasons))
    for panel, high in ((_by_percentile, 240), (_throughput, 150), (_latency, 200)):
        drawn = panel(result, y + 40, high)
        if drawn is not None:
            parts.append(drawn.svg())
            y += high + 90
    footer = [
        *verdict.remarks,
        f"Started {started}. " + "; ".join(f"{name} {value}" for name, value in machine.items()),
    ]
    for line in _wrapped(footer):
        y += 18
        parts.append(text(32, y, line, "small"))
    height, label = round(y + 24), f"{result.answered:,} right answers, {result.failed:,} failed"
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    label = quoteattr(f"{headline(scenario)}: {label}")
    start = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={label}>'
    ground = f'<rect width="{_WIDTH}" height="{height}" class="ground"/>'
    return "\n".join([start, f"<style>{_STYLE}</style>", ground, *parts, "</svg>\n"])


def _phases(result: Result) -> list[str]:
    phases = [describe_phase(phase, result.scenario.loop) for phase in result.scenario.phases]
    more = len(phases) - _MOST_PHASES
    return ["; then ".join(phases[:_MOST_PHASES]) + (f"; and {more} more" if more > 0 else "")]


def _wrapped(lines: list[str] | tuple[str, ...]) -> list[str]:
    found = []
    for line in lines:
        rest = line
        while len(rest) > _LETTERS:
            cut = rest.rfind(" ", 0, _LETTERS)
            cut = cut if cut > 0 else _LETTERS
            found.append(rest[:cut])
            rest = rest[cut:].lstrip()
        found.append(rest)
    return found


def _tiles(result: Result, top: float) -> list[str]:
    p50, p99, p999 = (duration(value) for value in result.total.percentiles((50.0, 99.0, 99.9)))
    tiles = [
        ("answers/s", f"{result.rate:,.0f}", ""),
        ("p50", p50, ""),
        ("p99", p99, ""),
        ("p99.9", p999, ""),
        ("longest", duration(result.total.most), ""),
        ("failed", f"{result.failed:,}" if not result.failed else f"{result.failed:,} ({result.error_share:.2%})",
         " alarm-text" if result.failed else ""),
        ("late sends", f"{result.late:,}", ""),
    ]  # fmt: skip
    width = (_WIDTH - 64 - 8 * (len(tiles) - 1)) / len(tiles)
    parts = []
    for number, (name, figure, kind) in enumerate(tiles):
        left = 32 + number * (width + 8)
        parts.append(f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="60" rx="6" class="tile"/>')
        parts.append(text(left + 12, top + 22, name, "small"))
        parts.append(text(left + 12, top + 46, figure, f"figure{kind}"))
    return parts


def _alarm(verdict: Verdict, top: float) -> list[str]:
    lines = _wrapped(verdict.reasons)
    box = f'<rect x="32" y="{top:.0f}" width="{_WIDTH - 64}" height="{30 + 18 * len(lines)}" rx="6" class="alarm"/>'
    said = "The generator was the bottleneck: these figures are its own, not the target's"
    return [
        box,
        text(44, top + 20, said, "alarm-text"),
        *(text(44, top + 38 + 18 * number, line, "") for number, line in enumerate(lines)),
    ]


def _nines(percentile: float) -> float:
    """How close to 100: 2 at 50, 10 at 90, 100 at 99."""
    return 100 / (100 - min(percentile, _CLOSEST))


def _by_percentile(result: Result, top: float, height: float) -> Panel | None:
    if not result.answered:
        return None
    curve, service = result.total.curve(), result.service.curve()
    opened = result.scenario.loop == "open"
    values = [value for _, value in [*curve, *(service if opened else [])] if value > 0]
    least, most, ticks = decades(min(values), max(values))
    # No further to the right than there are requests to tell.
    closest = min(_nines(_CLOSEST), max(20.0, result.answered * 1.0))
    x = Scale(1, closest, _MARGIN, _MARGIN + _INNER, logarithmic=True)
    panel = Panel(
        "Latency by percentile",
        _MARGIN,
        top,
        _INNER,
        height,
        x,
        Scale(least, most, top + height, top, logarithmic=True),
    )
    marks = [(0.0, "0"), (50.0, "50 %"), (90.0, "90 %"), (99.0, "99 %"), (99.9, "99.9 %"), (99.99, "99.99 %")]
    shown: list[Tick] = [(_nines(value), label) for value, label in marks if _nines(value) <= closest]
    panel.grid(shown, labelled(ticks, duration), "percentile")
    if opened:
        panel.line([(_nines(at), value) for at, value in service], "quiet", "from the send")
    panel.line(
        [(_nines(at), value) for at, value in curve],
        "blue",
        "from the schedule" if opened else "from request to answer",
    )
    return panel


def _told(result: Result) -> list[Moment]:
    """The seconds that have something to show: the last one is often nothing but its first moment."""
    moments = list(result.moments)
    while moments and moments[-1].number >= result.scenario.seconds - 0.5 and not _anything(moments[-1]):
        moments.pop()
    return moments


def _anything(moment: Moment) -> bool:
    return bool(moment.answered or moment.failed or moment.due or moment.warmup)


def _over_time(title: str, moments: list[Moment], top: float, height: float, y: Scale) -> Panel:
    x = Scale(0, max(1, moments[-1].number + 1), _MARGIN, _MARGIN + _INNER)
    return Panel(title, _MARGIN, top, _INNER, height, x, y)


def _time_grid(panel: Panel, result: Result, y_ticks: list[Tick]) -> None:
    for stretch in stretches(result.scenario.phases):
        if not stretch.phase.measured:
            panel.band(stretch.began, stretch.ends, "warm-up")
    seconds = [tick for tick in round_ticks(panel.x.most, 8) if tick <= panel.x.most and tick == int(tick)]
    panel.grid(labelled(seconds, lambda value: f"{value:g} s"), y_ticks, "since the start")


def _throughput(result: Result, top: float, height: float) -> Panel | None:
    moments = _told(result)
    if not moments:
        return None
    arrived = [(moment.number + 0.5, float(moment.due + moment.early)) for moment in moments]
    answered = [(moment.number + 0.5, float(moment.answered + moment.warmup)) for moment in moments]
    failed = [(moment.number + 0.5, float(moment.failed)) for moment in moments]
    ticks = round_ticks(max(1.0, *(value for _, value in [*arrived, *answered, *failed])), 4)
    y = Scale(0, ticks[-1], top + height, top)
    panel = _over_time("Answers a second", moments, top, height, y)
    _time_grid(panel, result, labelled(ticks, lambda value: f"{value:,g}"))
    panel.area(answered, "blue")
    if result.scenario.loop == "open":
        panel.line(arrived, "quiet", "arrived")
    panel.line(answered, "blue", "right answers")
    if result.failed:
        panel.bars(failed, 0.6, "red", "failed")
    return panel


def _latency(result: Result, top: float, height: float) -> Panel | None:
    moments = [moment for moment in _told(result) if moment.answered]
    if not moments:
        return None
    values = [value for moment in moments for value in (moment.p50, moment.most) if value > 0]
    least, most, ticks = decades(min(values), max(values))
    y = Scale(least, most, top + height, top, logarithmic=True)
    panel = _over_time("Latency of the answers of each second", _told(result), top, height, y)
    _time_grid(panel, result, labelled(ticks, duration))
    panel.line([(moment.number + 0.5, float(moment.most)) for moment in moments], "orange", "longest")
    panel.line([(moment.number + 0.5, float(moment.p99)) for moment in moments], "teal", "p99")
    panel.line([(moment.number + 0.5, float(moment.p50)) for moment in moments], "blue", "p50")
    return panel
