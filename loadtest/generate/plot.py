"""One panel of a drawing as SVG: a frame with ticks, lines, areas and bands. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import attrs

_LEGEND_LETTER: Final = 6.6  # units of width, about, of a letter of the legend
Point = tuple[float, float]
Tick = tuple[float, str]


def text(x: float, y: float, said: str, kind: str, anchor: str = "start") -> str:
    """``kind``: a class of the drawing's style."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class={quoteattr(kind)} text-anchor="{anchor}">{escape(said)}</text>'


@attrs.frozen
class Scale:
    """Values to places of the drawing, straight or by their logarithm."""

    least: float
    most: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        value = min(self.most, max(self.least, value))
        if self.logarithmic:
            share = math.log(value / self.least) / math.log(self.most / self.least)
        else:
            share = (value - self.least) / (self.most - self.least)
        return self.start + share * (self.end - self.start)


def decades(least: float, most: float) -> tuple[float, float, list[float]]:
    """Bounds of a logarithmic axis around the values, and its ticks: 1, 2 and 5 of each power, or 1 where many."""
    low = 10 ** math.floor(math.log10(max(least, 1e-9)))
    high = 10 ** math.ceil(math.log10(max(most, least * 1.01)))
    if high <= low:
        high = low * 10
    powers = round(math.log10(high / low))
    steps = (1, 2, 5) if powers <= 3 else (1,)
    ticks = [low * 10**power * step for power in range(powers) for step in steps] + [high]
    lower = max((tick for tick in ticks if tick <= least), default=low)
    upper = min((tick for tick in ticks if tick >= most), default=high)
    if upper <= lower:
        upper = next(tick for tick in ticks if tick > lower) if lower < high else lower * 10
    return lower, upper, [tick for tick in ticks if lower <= tick <= upper]


def round_ticks(most: float, wanted: int) -> list[float]:
    """From 0 to the first round value above ``most``."""
    raw = max(most, 1e-9) / wanted
    power: float = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1 or 2)]


@attrs.define(eq=False)
class Panel:
    """A frame whose axes are set by whoever makes it. Units are the drawing's."""

    title: str
    left: float
    top: float
    width: float
    height: float
    x: Scale
    y: Scale
    parts: list[str] = attrs.field(factory=list, init=False)
    legend: list[tuple[str, str]] = attrs.field(factory=list, init=False)  # class of the line, words

    def grid(self, x_ticks: Iterable[Tick], y_ticks: Iterable[Tick], x_title: str) -> None:
        bottom = self.top + self.height
        for value, label in y_ticks:
            place = self.y(value)
            self.parts.append(_line(self.left, place, self.left + self.width, place, "grid"))
            self.parts.append(text(self.left - 8, place + 4, label, "tick", "end"))
        for value, label in x_ticks:
            place = self.x(value)
            self.parts.append(_line(place, bottom, place, bottom + 4, "axis"))
            self.parts.append(text(place, bottom + 18, label, "tick", "middle"))
        self.parts.append(_line(self.left, bottom, self.left + self.width, bottom, "axis"))
        self.parts.append(text(self.left + self.width, bottom + 34, x_title, "tick", "end"))

    def band(self, first: float, last: float, label: str) -> None:
        """A stretch of the x axis with another ground."""
        start, end = self.x(first), self.x(last)
        self.parts.append(
            f'<rect x="{start:.1f}" y="{self.top:.1f}" width="{end - start:.1f}" height="{self.height:.1f}"'
            ' class="band"/>'
        )
        if end - start > len(label) * _LEGEND_LETTER:
            self.parts.append(text((start + end) / 2, self.top + 14, label, "tick", "middle"))

    def line(self, points: Sequence[Point], kind: str, words: str) -> None:
        if points:
            self.parts.append(f'<path d="{self._path(points)}" class="line {kind}"/>')
            if len(points) == 1:
                x, y = points[0]
                self.parts.append(f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="3" class="dot {kind}"/>')
        self.legend.append((kind, words))

    def area(self, points: Sequence[Point], kind: str) -> None:
        if points:
            bottom = self.top + self.height
            first, last = self.x(points[0][0]), self.x(points[-1][0])
            path = f"M{first:.1f},{bottom:.1f} L{self._path(points)[1:]} L{last:.1f},{bottom:.1f} Z"
            self.parts.append(f'<path d="{path}" class="area {kind}"/>')

    def bars(self, points: Sequence[Point], width: float, kind: str, words: str) -> None:
        """``width``: in units of the x axis."""
        for x, y in points:
            if y > 0:
                start, end, place = self.x(x - width / 2), self.x(x + width / 2), self.y(y)
                high = max(2.0, self.top + self.height - place)
                self.parts.append(
                    f'<rect x="{start:.1f}" y="{self.top + self.height - high:.1f}" width="{max(1.5, end - start):.1f}"'
                    f' height="{high:.1f}" class="bar {kind}"/>'
                )
        self.legend.append((kind, words))

    def _path(self, points: Sequence[Point]) -> str:
        return "M" + " L".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)

    def svg(self) -> str:
        """The panel; the words for its lines stand at the right end of its title's line."""
        drawn = [text(self.left, self.top - 16, self.title, "title")]
        place = self.left + self.width
        for kind, words in reversed(self.legend):
            place -= len(words) * _LEGEND_LETTER
            drawn.append(text(place, self.top - 16, words, "legend"))
            drawn.append(_line(place - 24, self.top - 20, place - 6, self.top - 20, f"line {kind}"))
            place -= 40
        return "\n".join([f"<g aria-label={quoteattr(self.title)}>", *self.parts, *drawn, "</g>"])


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def labelled(values: Iterable[float], words: Callable[[float], str]) -> list[Tick]:
    return [(value, words(value)) for value in values]
