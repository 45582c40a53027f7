"""Aligned tables in plain text, and how numbers, times and durations stand in them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import attrs
import click

COLOURS: Final[Mapping[str, str]] = {
    "up": "green", "yes": "green", "down": "red", "unsafe": "red", "ejected": "red", "no": "yellow",
    "probation": "yellow", "unknown": "yellow", "drain": "yellow", "maint": "yellow", "unlike": "red", "expired": "red",
}  # fmt: skip
_DAY: Final = 86_400


@attrs.frozen
class Column:
    title: str
    right: bool = False  # numbers
    coloured: bool = False  # by what a cell says


def lines(columns: Sequence[Column], rows: Iterable[Sequence[str]], indent: str = "") -> list[str]:
    """A heading and the rows; cells are as wide as their column needs."""
    cells = [[plain(cell) for cell in row] for row in rows]
    titles = [column.title for column in columns]
    widths = [max(len(row[number]) for row in (titles, *cells)) for number in range(len(columns))]
    made = []
    for row in (titles, *cells):
        shown = []
        for column, cell, width in zip(columns, row, widths, strict=True):
            padded = cell.rjust(width) if column.right else cell.ljust(width)
            colour = COLOURS.get(cell) if column.coloured and row is not titles else None
            shown.append(click.style(padded, fg=colour) if colour else padded)
        made.append((indent + "  ".join(shown)).rstrip())
    return made


def plain(value: object) -> str:
    """A value without control characters: what a device or certificate says of itself must not steer a terminal."""
    text = "-" if value is None or value == "" else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def whole(value: object) -> str:
    """12345 is ``12,345``."""
    return f"{value:,}" if isinstance(value, int) else "-"


def milliseconds(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "-"


def age(since: object, now: datetime | None = None) -> str:
    """How long ago a point in time was, in two units: ``3d 4h``, ``2m 05s``; ``-`` where it is none."""
    moment = parsed(since)
    if moment is None:
        return "-"
    return span(((now or datetime.now(UTC)) - moment).total_seconds())


def span(seconds: float) -> str:
    """``3d 4h``, ``5h 07m``, ``2m 05s``, ``12s``."""
    whole_seconds = max(0, int(seconds))
    days, rest = divmod(whole_seconds, _DAY)
    hours, rest = divmod(rest, 3600)
    minutes, last = divmod(rest, 60)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {last:02}s" if minutes else f"{last}s"


def parsed(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
