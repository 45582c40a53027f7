"""`guardian top`: groups and devices live, and keys to steer them."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import select
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from guardian.console import one_line
from guardian.remote import RefusedError, Remote, UnreachableError, admin_options

from .board import SORTS, Key, Line, body, parts, rates_between
from .status import workers

if TYPE_CHECKING:
    from rich.text import Text

_LOOK: Final = 0.1  # seconds between looks at the keyboard and at the size of the terminal
_KEYS: Final = "up/down select   d drain   r ready   m maint   s sort   q quit"
_WILLS: Final = {"d": "drain", "r": "ready", "m": "maint"}
_PRESSED: Final = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|[^\x1b]")  # a letter, or an escape and more
_ARROWS: Final = {"\x1b[A": "k", "\x1b[B": "j", "\x1bOA": "k", "\x1bOB": "j"}


@click.command()
@click.option("--interval", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, metavar="SECONDS",
              help="How often to look.")  # fmt: skip
@admin_options
def top(remote: Remote, interval: float) -> int:
    """Groups and devices, live: rates, share, latency of the last minute, outstanding, queue.

    Keys: up and down select a device; d drains it, r brings it back, m takes it out, each after a y; s sorts by
    rate, p99 or outstanding; q ends. It needs a terminal; `guardian status` does not.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("this needs a terminal; `guardian status` and `guardian show devices` do not")
    screen = _Screen(remote.admin, remote.status())
    feed = _Feed(remote, interval)
    feed.start()
    try:
        _run(screen, feed)
    finally:
        feed.stop()
    return 0


@attrs.define(eq=False)
class _Screen:
    """What is on it, and what keys do to it."""

    address: str
    found: dict[str, Any]
    rates: dict[Key, float] = attrs.field(factory=dict)
    at: float = attrs.field(factory=time.monotonic)  # when ``found`` was true
    selected: Key | None = None
    sort: str = SORTS[0]
    asking: tuple[str, Key] | None = None  # a will that waits for a yes
    message: str = ""
    lost: str = ""  # why nothing new comes
    ended: bool = False

    def take(self, found: dict[str, Any], now: float) -> None:
        if now - self.at >= 0.1:
            self.rates = rates_between(self.found, found, now - self.at)
        self.found, self.at, self.lost = found, now, ""

    def press(self, key: str) -> tuple[str, Key] | None:
        """Gives a will and its device where one was asked for and confirmed."""
        asked, self.asking = self.asking, None
        if asked is not None:
            self.message = "" if key == "y" else "nothing was done"
            return asked if key == "y" else None
        self.message = ""
        if key in ("q", "\x03", "\x04"):
            self.ended = True
        elif key in ("j", "k"):
            self._move(1 if key == "j" else -1)
        elif key == "s":
            self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        elif key in _WILLS and self._current is not None:
            self.asking = (_WILLS[key], self._current)
        return None

    @property
    def _order(self) -> list[Key]:
        return [row.key for part in parts(self.found, self.rates, self.sort) for row in part.rows]

    @property
    def _current(self) -> Key | None:
        order = self._order
        return self.selected if self.selected in order else next(iter(order), None)

    def _move(self, step: int) -> None:
        order, current = self._order, self._current
        if current is not None:
            self.selected = order[max(0, min(order.index(current) + step, len(order) - 1))]

    def lines(self, height: int, now: float) -> list[Line]:
        state = f"proxy {self.found.get('state', '?')}{workers(self.found)}"
        head: Line = [
            ("guardian ", "bold"), (f"{self.address}   {state}   ", ""),
            (f"sorted by {self.sort}", "dim"),
        ]  # fmt: skip
        shown = body(parts(self.found, self.rates, self.sort), self._current, max(1, height - 4))
        foot: Line = [(_KEYS, "dim")]
        if self.asking is not None:
            foot = [(self._question(*self.asking), "bold yellow")]
        elif self.message:
            foot = [(self.message, "bold")]
        if self.lost:
            head += [(f"   no answer for {now - self.at:.0f} s: {self.lost}", "bold red")]
        return [head, [], *shown, *[[] for _ in range(height - 3 - len(shown))], foot]

    def _question(self, will: str, target: Key) -> str:
        asked = f"{will} {'/'.join(target)}?  y does it"
        if will != "ready" and target in self._primaries:  # what counts first: a terminal may be narrow
            return f"{asked}. It is the primary: writes get 902 unless primary_loss is promote"
        return f"{asked}, any other key does not"

    @property
    def _primaries(self) -> list[Key]:
        return [(group["name"], device["name"]) for group in self.found["groups"] for device in group["devices"]
                if device["role"] == "primary"]  # fmt: skip


class _Feed(threading.Thread):
    """Asks the proxy, and tells it what was decided, beside the keyboard: a proxy that hangs must not hang that."""

    def __init__(self, remote: Remote, interval: float) -> None:
        super().__init__(daemon=True)
        self.news: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()  # found, lost or told
        self._orders: queue.SimpleQueue[tuple[str, Key] | None] = queue.SimpleQueue()
        self._remote = remote
        self._interval = interval

    def order(self, will: str, target: Key) -> None:
        self._orders.put((will, target))

    def stop(self) -> None:
        self._orders.put(None)

    def run(self) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                order = self._orders.get(timeout=self._interval)
                if order is None:
                    return
                self._tell(*order)
            try:
                self.news.put(("found", self._remote.status()))
            except (UnreachableError, RefusedError) as exc:
                self.news.put(("lost", exc.message.partition(". ")[0]))
            except Exception as exc:  # noqa: BLE001 - the barrier: a screen that stands still must say so
                self.news.put(("lost", one_line(exc)))

    def _tell(self, will: str, target: Key) -> None:
        try:
            self._remote.set_will(*target, will)
            self.news.put(("told", f"{'/'.join(target)}: {will}"))
        except (UnreachableError, RefusedError) as exc:
            self.news.put(("told", exc.message))


def _run(screen: _Screen, feed: _Feed) -> None:
    from rich.console import Console, ConsoleDimensions  # noqa: PLC0415 (slow to import)
    from rich.live import Live  # noqa: PLC0415

    console = Console(highlight=False)
    with _raw(sys.stdin.fileno()), Live(console=console, screen=True, auto_refresh=False) as live:
        while not screen.ended:
            # Not what COLUMNS and LINES say: a shell exports them once, and the window changes.
            console.size = ConsoleDimensions(*os.get_terminal_size(sys.stdin.fileno()))
            live.update(_text(screen.lines(console.size.height, time.monotonic())), refresh=True)
            for key in _keys(sys.stdin.fileno(), _LOOK):
                confirmed = screen.press(key)
                if confirmed is not None:
                    feed.order(*confirmed)
            with contextlib.suppress(queue.Empty):
                while True:
                    kind, news = feed.news.get_nowait()
                    if kind == "found":
                        screen.take(news, time.monotonic())
                    else:
                        setattr(screen, "lost" if kind == "lost" else "message", news)


def _text(lines: list[Line]) -> Text:
    from rich.text import Text  # noqa: PLC0415

    made = Text(no_wrap=True, overflow="crop", end="")
    for number, line in enumerate(lines):
        made.append("\n" if number else "")
        for piece, style in line:
            made.append(piece, style=style or None)
    return made


@contextlib.contextmanager
def _raw(fd: int) -> Iterator[None]:
    """Keys as they are pressed and not shown, Ctrl-C among them; the terminal as it was, whatever happens."""
    import termios  # noqa: PLC0415 (not on every system)
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _keys(fd: int, seconds: float) -> list[str]:
    """What was pressed within that time; arrows are as k and j."""
    if not select.select([fd], [], [], seconds)[0]:
        return []
    data = os.read(fd, 64).decode("ascii", "ignore")
    if not data:
        return ["q"]  # the terminal is gone
    return [_ARROWS.get(key, key) for key in _PRESSED.findall(data)]
