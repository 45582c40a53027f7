"""The run while it runs: a screen that redraws itself on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from .result import Moment, Result
from .text_report import describe_phase, duration, headline, mix_text

if TYPE_CHECKING:
    from rich.console import RenderableType

_LINE_EVERY: Final = 5.0  # seconds
_SHOWN: Final = 60  # seconds of the sparklines
_BARS: Final = "▁▂▃▄▅▆▇█"
_LATENCIES_EVERY: Final = 1.0  # seconds: percentiles of the whole run cost some milliseconds

Watch = Callable[[Result, float], None]


@contextmanager
def watching(quiet: bool) -> Iterator[Watch]:
    """Who shows the run on standard error; with ``quiet`` nobody."""
    if quiet:
        yield lambda _result, _now: None
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _screen() as watch:
            yield watch
    else:
        yield _lines()


def _lines() -> Watch:
    told = 0.0

    def watch(result: Result, now: float) -> None:
        nonlocal told
        if now - told >= _LINE_EVERY and (moment := _last(result)) is not None:
            told = now
            sys.stderr.write(_line(result, moment) + "\n")
            sys.stderr.flush()

    return watch


def _line(result: Result, moment: Moment) -> str:
    failed = f", {result.failed:,} failed" if result.failed else ""
    late = f", {result.late:,} sends late" if result.late else ""
    warmup = " (warm-up)" if not moment.answered and moment.warmup else ""
    return (
        f"{moment.number + 1:4} of {result.scenario.seconds:g} s: {moment.answered + moment.warmup:,}/s{warmup}, "
        f"p50 {duration(moment.p50)}, p99 {duration(moment.p99)}, max {duration(moment.most)}{failed}{late}"
    )


def _last(result: Result) -> Moment | None:
    """The last second that all processes have told."""
    whole = [moment for moment in result.moments[-3:] if moment.told == result.scenario.processes]
    return whole[-1] if whole else None


@contextmanager
def _screen() -> Iterator[Watch]:
    from rich.console import Console  # noqa: PLC0415 (slow to import)
    from rich.live import Live  # noqa: PLC0415

    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")), highlight=False)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        drawn = 0.0

        def watch(result: Result, now: float) -> None:
            nonlocal drawn
            if time.monotonic() - drawn < _LATENCIES_EVERY:
                return
            drawn = time.monotonic()
            live.update(_drawing(result, now, console.width), refresh=True)

        yield watch


def _drawing(result: Result, now: float, width: int) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    scenario, moment = result.scenario, _last(result) or Moment(0)
    began, doing = 0.0, "waiting for the last answers"
    for phase in scenario.phases:
        if began <= now < began + phase.duration:
            doing = describe_phase(phase, scenario.loop)
        began += phase.duration
    if result.stopped:
        doing = "stopping: waiting for the answers that are due"
    table = Table.grid(padding=(0, 2))
    table.add_row(Text("this second", style="dim"), *_figures(moment))
    p50, p99, p999 = result.total.percentiles((50.0, 99.0, 99.9))
    whole = Moment(0, answered=round(result.rate_until(now)), p50=p50, p99=p99, p999=p999, most=result.total.most)
    table.add_row(Text("all", style="dim"), *_figures(whole))
    room = min(_SHOWN, max(10, width - 24))
    recent = [each for each in result.moments if each.told == scenario.processes][-room:]
    bad = result.failed or result.late
    state = Text(
        f"connections {moment.connected:,} of {scenario.connections:,}   outstanding {moment.outstanding:,}   "
        f"failed {result.failed:,}   late sends {result.late:,}   skipped {result.skipped:,}",
        style="yellow" if bad else "",
    )
    failures = sorted(result.failures.items(), key=lambda item: -item[1])[:4]
    return Group(
        Text(headline(scenario), style="bold"),
        Text(f"mix: {mix_text(scenario)}", style="dim"),
        Text(f"{min(now, scenario.seconds):.0f} of {scenario.seconds:g} s: {doing}   Ctrl-C ends it early"),
        Text(""),
        table,
        Text(""),
        Text.assemble(("answers/s   ", "dim"), (_bars([each.answered + each.warmup for each in recent]), "green")),
        Text.assemble(("p99         ", "dim"), (_bars([each.p99 for each in recent]), "cyan")),
        Text(""),
        state,
        *(Text(f"  {count:>9,}  {kind}", style="red") for kind, count in failures),
    )


def _figures(moment: Moment) -> list[str]:
    return [
        f"{moment.answered + moment.warmup:,}/s",
        f"p50 {duration(moment.p50)}",
        f"p99 {duration(moment.p99)}",
        f"p99.9 {duration(moment.p999)}",
        f"max {duration(moment.most)}",
    ]


def _bars(values: list[int]) -> str:
    most = max(values, default=0)
    return "".join(_BARS[min(7, value * 8 // (most + 1))] for value in values) if most else ""
