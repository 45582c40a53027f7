"""Charts as SVG: scales, panels and marks, in colours that suit a light and a dark page.

A chart is text: it is small, sharp at any size, and the same bytes for the same figures. Colours are classes of one
style sheet, which follows what the viewer prefers; series are `s0` to `s7`, in an order that people who see few colours
can tell apart too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from xml.sax.saxutils import escape

import attrs

_LIGHT: Final = ("#2a78d6", "#eb6834", "#1baf7a", "#b07a00", "#d5508a", "#4a3aa7", "#008300", "#898781")
_DARK: Final = ("#4a95ec", "#ee7f50", "#27b985", "#d9a012", "#e57ba8", "#9085e9", "#3fae3f", "#898781")
SERIES: Final = len(_LIGHT)


def _colours(colours: Iterable[str]) -> str:
    return "".join(
        f".l.s{number}{{stroke:{colour}}}.f.s{number}{{fill:{colour}}}" for number, colour in enumerate(colours)
    )


_STYLE: Final = f"""
svg{{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;background:#fcfcfb}}
text{{fill:#52514e}}
.page{{fill:#fcfcfb}}
.title{{fill:#0b0b0b;font-size:16px;font-weight:600}}
.head{{fill:#0b0b0b;font-weight:600}}
.value{{fill:#0b0b0b;font-variant-numeric:tabular-nums}}
.small{{font-size:11px;fill:#7c7a74}}
.grid{{stroke:#e1e0d9;stroke-width:1}}
.axis{{stroke:#c3c2b7;stroke-width:1}}
.l{{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}}
.thin{{stroke-width:1.5;opacity:.55}}
.dash{{stroke-dasharray:5 4}}.dots{{stroke-dasharray:1 4}}
.ring{{stroke:#fcfcfb;stroke-width:1.5}}
{_colours(_LIGHT)}
@media (prefers-color-scheme:dark){{
svg{{background:#1a1a19}}
text{{fill:#c3c2b7}}
.page{{fill:#1a1a19}}
.title,.head,.value{{fill:#fff}}
.small{{fill:#9b9991}}
.grid{{stroke:#2c2c2a}}
.axis{{stroke:#4a4944}}
.ring{{stroke:#1a1a19}}
{_colours(_DARK)}
}}
"""


@attrs.frozen
class Scale:
    """Where a value lies between two ends of a line, evenly or by its logarithm."""

    low: float
    high: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """0 at `low`, 1 at `high`; what is outside lies on the end."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values: four to eight of them."""
        if self.logarithmic:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1.0, 2.0, 5.0) if math.log10(self.high / self.low) < 2.2 else (1.0,)
            found = [step * 10.0**decade for decade in decades for step in steps]
        else:
            step = _round_step((self.high - self.low) / 5.0)
            found = [step * number for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [tick for tick in found if self.low * 0.999 <= tick <= self.high * 1.001]


def _round_step(about: float) -> float:
    power = 10.0 ** math.floor(math.log10(about))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= about)


def around(values: Sequence[float], *, logarithmic: bool) -> Scale:
    """A scale with all of these on it, and some room; evenly it begins at 0."""
    above = [value for value in values if value > 0.0] or [1.0]
    if logarithmic:
        return Scale(min(above) / 1.25, max(above) * 1.25, logarithmic=True)
    return Scale(0.0, max(above) * 1.08)


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """``anchor``: start, middle or end."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def dot(x: float, y: float, series: int, radius: float = 4.5, hint: str = "") -> str:
    told = f"<title>{escape(hint)}</title>" if hint else ""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="f ring s{series}">{told}</circle>'


def stroke(points: Iterable[tuple[float, float]], kind: str) -> str:
    """A line through these. ``kind``: classes, such as ``l s0 dash``, ``grid``."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" class="{kind}"/>'


def legend(left: float, top: float, width: float, entries: Sequence[tuple[str, str]]) -> tuple[str, float]:
    """Rows of entries, each with its classes of a line and its words; and where the last row stands."""
    parts = []
    x, y = left, top
    for kind, words in entries:
        needs = 46.0 + 6.6 * len(words)
        if x > left and x + needs > left + width:
            x, y = left, y + 20.0
        parts += [stroke([(x, y - 4.0), (x + 22.0, y - 4.0)], kind), text(x + 28.0, y, words)]
        x += needs
    return "".join(parts), y


@attrs.frozen(kw_only=True)
class Panel:
    """A rectangle with two scales. The y of SVG goes down, that of a panel up."""

    left: float
    top: float
    width: float
    height: float
    x: Scale
    y: Scale

    def place(self, x: float, y: float) -> tuple[float, float]:
        return self.left + self.width * self.x.at(x), self.top + self.height * (1.0 - self.y.at(y))

    def across(self, label: Callable[[float], str], ticks: Sequence[float] | None = None) -> str:
        """The grid of the y scale, with its labels on the left."""
        parts = []
        for tick in self.y.ticks() if ticks is None else ticks:
            _, y = self.place(self.x.low, tick)
            parts += [stroke([(self.left, y), (self.left + self.width, y)], "grid")]
            parts += [text(self.left - 7.0, y + 4.0, label(tick), "small", "end")]
        return "".join(parts)

    def along(self, label: Callable[[float], str], ticks: Sequence[float] | None = None, *, grid: bool = False) -> str:
        """The x scale below, with lines up through the panel where there is to be a ``grid``."""
        bottom = self.top + self.height
        parts = []
        for tick in self.x.ticks() if ticks is None else ticks:
            x, _ = self.place(tick, self.y.low)
            if grid:
                parts.append(stroke([(x, self.top), (x, bottom)], "grid"))
            parts.append(text(x, bottom + 16.0, label(tick), "small", "middle"))
        parts.append(stroke([(self.left, bottom), (self.left + self.width, bottom)], "axis"))
        return "".join(parts)

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> str:
        return stroke([self.place(x, y) for x, y in points], kind)

    def mark(self, x: float, y: float, series: int, radius: float = 4.0, hint: str = "") -> str:
        return dot(*self.place(x, y), series, radius, hint)


def document(width: float, height: float, title: str, body: Iterable[str], *, style: str = "") -> str:
    """A whole file. ``title`` is also what a screen reader says; ``style``: more than what all charts have."""
    shown = "\n".join(body)
    spoken = escape(title, {'"': "&quot;"})
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
        f' height="{height:g}" role="img" aria-label="{spoken}">\n<title>{spoken}</title>'
        f'<style>{_STYLE}{style}</style>\n<rect class="page" width="100%" height="100%"/>\n{shown}\n</svg>\n'
    )


def milliseconds(seconds: float) -> str:
    """For an axis: ``seconds`` in the unit that people say."""
    if seconds >= 1.0:
        return f"{seconds:g} s"
    return f"{1000.0 * seconds:g} ms" if seconds >= 0.001 else f"{1e6 * seconds:g} µs"
