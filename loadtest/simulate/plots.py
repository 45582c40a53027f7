"""Results as a drawing: ranges for situations, lines where the number of devices or workers changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

import attrs

from loadtest import svg

from .cell import TOLD, Cell, Result
from .policies import Name
from .report import situation

_SERIES: Final = {name: number for number, name in enumerate(Name)}
_TOLD: Final = {
    Name.WORK: "least work (default)",
    Name.COUNT: "least outstanding",
    Name.EWMA: "average latency",
    Name.TWO_CHOICES: "two choices",
    Name.ROUND_ROBIN: "round robin",
}
_DASHES: Final = {None: "dots", 0.0: ""}  # by what workers see of each other; late is dashed
_UNSOUND: Final = 0.01  # of requests not served: then times mean little


def draw(results: Sequence[Result]) -> str:
    """An SVG file."""
    cells = [result.cell for result in results]
    if len({cell.workers for cell in cells}) > 1:
        return _chart(results, "p99 by the number of processes", lambda cell: cell.workers)
    if len({cell.devices for cell in cells}) > 1:
        return _chart(results, "p99 by the number of devices", lambda cell: cell.devices)
    return _ranges(results)


# --- one row for each policy ------------------------------------------------------------------------------------

_ROW: Final = 22.0
_PANEL_WIDTH: Final = 300.0
_LEFT: Final = 150.0
_COLUMN: Final = _LEFT + _PANEL_WIDTH + 90.0


def _ranges(results: Sequence[Result]) -> str:
    groups = [(words, list(rows)) for words, rows in groupby(results, key=lambda result: situation(result.cell))]
    every = [value for result in results for value in result.quantiles.values()]
    x = svg.around(every, logarithmic=True)
    columns = 2 if len(groups) > 1 else 1
    tall = _ROW * max(len(rows) for _, rows in groups) + 74.0
    body = [svg.text(24.0, 34.0, "How long requests took, by policy", "title")]
    body.append(
        svg.text(24.0, 54.0, f"A dot is p99; the line goes from p50 to p99.9. {_common(results[0].cell)}", "small")
    )
    for number, (_, rows) in enumerate(groups):
        body += _range_panel(rows, x, 24.0 + _COLUMN * (number % columns), 84.0 + tall * (number // columns))
    height = 84.0 + tall * -(-len(groups) // columns)
    return svg.document(24.0 + _COLUMN * columns, height, "Times of requests by policy", body)


def _range_panel(rows: Sequence[Result], x: svg.Scale, left: float, top: float) -> list[str]:
    cell = rows[0].cell
    panel = svg.Panel(
        left=left + _LEFT, top=top + 14.0, width=_PANEL_WIDTH, height=_ROW * len(rows), x=x, y=svg.Scale(0.0, 1.0)
    )
    parts = [svg.text(left, top, TOLD[cell.trouble], "head"), panel.along(svg.milliseconds, grid=True)]
    for number, row in enumerate(rows):
        y = panel.top + _ROW * (number + 0.5)
        series = _SERIES[row.cell.policy]
        at = {name: panel.place(seconds, 0.0)[0] for name, seconds in row.quantiles.items()}
        parts.append(svg.text(left + _LEFT - 12.0, y + 4.0, _TOLD[row.cell.policy], "", "end"))
        if row.lost >= _UNSOUND:
            parts.append(svg.text(panel.left + 8.0, y + 4.0, f"{row.lost:.0%} of requests not served", "value"))
            continue
        parts.append(svg.stroke([(at["50"], y), (at["99.9"], y)], f"l thin s{series}"))
        parts += [svg.dot(at["50"], y, series, 2.5), svg.dot(at["99.9"], y, series, 2.5)]
        p99 = row.quantiles["99"]
        parts.append(svg.dot(at["99"], y, series, 5.0, f"p99 {1000 * p99:.1f} ms"))
        parts.append(svg.text(panel.left + panel.width + 10.0, y + 4.0, _short(p99), "value"))
    return parts


# --- lines over a number of something ---------------------------------------------------------------------------

_CHART: Final = 380.0
_CHART_COLUMN: Final = _CHART + 190.0


@attrs.frozen(kw_only=True)
class _Line:
    """What one line stands for. ``sight`` matters where there are ``several`` processes."""

    policy: Name
    sight: float | None
    several: bool

    @property
    def kind(self) -> str:
        dashes = _DASHES.get(self.sight, "dash") if self.several else ""
        return f"l s{_SERIES[self.policy]} {dashes}".strip()

    @property
    def words(self) -> str:
        if not self.several:
            return _TOLD[self.policy]
        seen = {None: "nothing seen", 0.0: "all seen"}.get(self.sight, f"seen {1000 * (self.sight or 0.0):g} ms late")
        return f"{_TOLD[self.policy]}, {seen}"

    def points(self, rows: Sequence[Result], number: Callable[[Cell], int]) -> list[tuple[float, float]]:
        """Its p99 by that number; one process sees itself, whatever others would see."""
        return [
            (float(number(row.cell)), row.quantiles["99"])
            for row in rows
            if row.cell.policy is self.policy
            and (row.cell.sight == self.sight or row.cell.workers == 1)
            and row.lost < _UNSOUND
        ]


def _chart(results: Sequence[Result], title: str, number: Callable[[Cell], int]) -> str:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(TOLD[result.cell.trouble], []).append(result)
    numbers = sorted({number(result.cell) for result in results})
    several = any(result.cell.workers > 1 for result in results)
    looked = [result.cell for result in results if number(result.cell) > 1]
    lines = [
        _Line(policy=policy, sight=sight, several=several)
        for policy, sight in dict.fromkeys((cell.policy, cell.sight) for cell in looked)
    ]
    x = svg.Scale(numbers[0], numbers[-1], logarithmic=True)
    y = svg.around([result.quantiles["99"] for result in results if result.lost < _UNSOUND], logarithmic=True)
    width = 24.0 + _CHART_COLUMN * len(groups)
    body = [svg.text(24.0, 34.0, title, "title"), svg.text(24.0, 54.0, _common(results[0].cell), "small")]
    shown, below = svg.legend(24.0, 84.0, width - 48.0, [(line.kind, line.words) for line in lines])
    body.append(shown)
    for place, (words, rows) in enumerate(groups.items()):
        panel = svg.Panel(left=80.0 + _CHART_COLUMN * place, top=below + 44.0, width=_CHART, height=250.0, x=x, y=y)
        body += [svg.text(panel.left, panel.top - 14.0, words, "head"), panel.across(svg.milliseconds)]
        body += [panel.along(lambda tick: f"{tick:g}", numbers)]
        body += _curves(panel, [(line, line.points(rows, number)) for line in lines])
    return svg.document(width, below + 340.0, title, body)


def _curves(panel: svg.Panel, lines: Sequence[tuple[_Line, list[tuple[float, float]]]]) -> list[str]:
    parts = []
    ends: dict[str, tuple[float, float]] = {}  # one label for lines that end in the same figure
    for line, points in lines:
        parts.append(panel.line(points, line.kind))
        parts += [panel.mark(x, y, _SERIES[line.policy], 3.5, f"{line.words}: {_short(y)}") for x, y in points]
        if points:
            ends.setdefault(_short(points[-1][1]), panel.place(*points[-1]))
    lowest = panel.top - 20.0
    for words, (x, y) in sorted(ends.items(), key=lambda end: end[1][1]):
        lowest = max(y + 4.0, lowest + 13.0)  # labels of lines that end together stand below each other
        parts.append(svg.text(x + 9.0, lowest, words, "value"))
    return parts


def _short(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"


def _common(cell: Cell) -> str:
    load = f"{cell.clients} clients in a closed loop" if cell.clients else f"Open arrivals at {cell.load:.0%}"
    return f"{load}, mix {cell.mix}, each device does {cell.parallel} at once, seed {cell.seed}"
