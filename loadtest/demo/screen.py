"""What the demo prints: in colour on a terminal, plain elsewhere and with NO_COLOR."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Protocol

import attrs
import click


class _Printer(Protocol):
    def line(self, text: str, style: str) -> None: ...

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None: ...


@attrs.define(eq=False)
class Screen:
    """Lines with the seconds since the demo began. `style` is a hint: good, bad, quiet or nothing."""

    _printer: _Printer
    _began: float = attrs.field(factory=time.monotonic, init=False)

    @classmethod
    def choose(cls) -> Screen:
        if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
            return cls(_Plain())
        return cls(_Rich())

    def say(self, text: str, style: str = "") -> None:
        self._printer.line(f"{time.monotonic() - self._began:6.1f} s  {text}", style)

    def plain(self, text: str, style: str = "") -> None:
        self._printer.line(text, style)

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self._printer.table(title, head, rows)


class _Plain:
    def line(self, text: str, style: str) -> None:
        click.echo(text)

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
        click.echo(f"\n{title}")
        for row in (head, *rows):
            first, *others = (text.rjust(width) for text, width in zip(row, widths, strict=True))
            click.echo("  ".join(["", first.strip().ljust(widths[0]), *others]).rstrip())


class _Rich:
    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 (only on a terminal)

        self._console = Console(highlight=False)

    def line(self, text: str, style: str) -> None:
        from rich.text import Text  # noqa: PLC0415

        styles = {"good": "green", "bad": "bold red", "quiet": "dim"}
        self._console.print(Text(text, style=styles.get(style, "")))

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich.table import Table  # noqa: PLC0415

        table = Table(title=title, title_justify="left", title_style="bold")
        for column, text in enumerate(head):
            table.add_column(text, justify="left" if column == 0 else "right")
        for row in rows:
            table.add_row(*row)
        self._console.print()
        self._console.print(table)
