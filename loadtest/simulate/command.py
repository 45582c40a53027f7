"""The command line of the simulation."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import attrs
import click
from click.core import ParameterSource

from .cell import MIXES, Result, Trouble
from .plots import draw
from .policies import Name
from .presets import BASES, DEFAULT, QUESTIONS, Axes
from .report import as_json, render
from .sweep import sweep


def _numbers(least: int, most: int) -> Callable[[Any, click.Parameter, str | None], Sequence[int]]:
    def parse(_context: Any, parameter: click.Parameter, value: str | None) -> Sequence[int]:
        parts = value.split(",") if value else []
        if not all(part.isdecimal() and least <= int(part) <= most for part in parts):
            raise click.BadParameter(
                f"{value!r} should be numbers from {least} to {most}, such as 1,4", param=parameter
            )
        return [int(part) for part in parts]

    return parse


def _sights(_context: Any, parameter: click.Parameter, value: str | None) -> Sequence[float | None]:
    found: list[float | None] = []
    for part in value.split(",") if value else []:
        try:
            seconds = None if part == "none" else float(part) / 1000.0
        except ValueError:
            seconds = -1.0
        if seconds is not None and not 0.0 <= seconds <= 60.0:
            raise click.BadParameter(f"{part!r} should be none, or milliseconds such as 0 or 5", param=parameter)
        found.append(seconds)
    return found


def _scaled(by: float) -> Callable[[Any, click.Parameter, float], float]:
    return lambda _context, _parameter, value: value / by


def _words(of: type[Enum]) -> Callable[[Any, click.Parameter, str | None], Sequence[Any]]:
    def parse(_context: Any, parameter: click.Parameter, value: str | None) -> Sequence[Any]:
        known = {member.value.replace(" ", "-"): member for member in of}
        parts = value.split(",") if value else []
        for part in parts:
            if part not in known:
                raise click.BadParameter(f"{part!r} is none of {', '.join(known)}", param=parameter)
        return [known[part] for part in parts]

    return parse


@click.command()
@click.argument("question", type=click.Choice(tuple(QUESTIONS)), default="faults")
@click.option("--policies", callback=_words(Name), help="work, count, ewma, two-choices, round-robin.")
@click.option("--troubles", callback=_words(Trouble),
              help="Of the last device: none, slow, stalls, flaps, hangs, zombie, held-back, licensed.")  # fmt: skip
@click.option("--devices", callback=_numbers(1, 16), help="How many devices; several numbers are tried in turn.")
@click.option("--workers", callback=_numbers(1, 64), help="How many processes, each with a scheduler of its own.")
@click.option("--sights", callback=_sights, help="What workers see of each other: none, or milliseconds of delay.")
@click.option("--load", default=70.0, type=click.FloatRange(0.1, 200.0), show_default=True, callback=_scaled(100.0),
              help="Open arrivals, in % of what the devices can do while the fault shows.")  # fmt: skip
@click.option("--clients", default=0, type=click.IntRange(0, 10_000), help="A closed loop of so many clients instead.")
@click.option("--mix", default="payments", type=click.Choice(tuple(MIXES)), show_default=True,
              help="Of commands: PIN translations, MACs and slow signatures; or all alike.")  # fmt: skip
@click.option("--service", default=0.0, type=click.FloatRange(0.0, 60_000.0), callback=_scaled(1000.0),
              help="Milliseconds for each command, instead of what the mix says.")  # fmt: skip
@click.option("--variation", default=0.5, type=click.FloatRange(0.0, 10.0), show_default=True,
              help="Of service times: standard deviation over mean; 0 is constant.")  # fmt: skip
@click.option(
    "--parallel", default=4, type=click.IntRange(1, 1000), show_default=True, help="What a device does at once."
)
@click.option("--connections", default=8, type=click.IntRange(1, 1000), show_default=True,
              help="To each device, of all workers together.")  # fmt: skip
@click.option("--factor", default=10.0, type=click.FloatRange(1.0, 1000.0), show_default=True,
              help="How much slower a slow device is.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(1.0, 86_400.0), help="Of virtual time.  [60; hour: 3600]")
@click.option("--warmup", default=20.0, type=click.FloatRange(2.0, 3600.0), show_default=True,
              help="Virtual seconds before.")  # fmt: skip
@click.option("--seed", default=1, type=int, show_default=True)
@click.option("--jobs", type=click.IntRange(1, 256), help="Simulations at once.  [the cores there are]")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, writable=True, path_type=Path),
              help="Write every figure there.")  # fmt: skip
@click.option("--svg", "svg_file", type=click.Path(dir_okay=False, writable=True, path_type=Path),
              help="Draw it there.")  # fmt: skip
def main(question: str, jobs: int | None, json_file: Path | None, svg_file: Path | None, **options: Any) -> None:
    """How policies do where a device is slow, flaps, lies or is held back; with 1 to 16 devices, 1 to 64 processes.

    QUESTION sets what is tried; options narrow it or add to it:

    \b
    faults   every fault with every policy, three devices, one process (the default)
    devices  1 to 16 devices, alike, and with a slow one
    workers  1 to 64 processes that see nothing of each other, or all of it at once or late
    hour     an hour with a device that comes and goes

    The scheduler, queue, health and resending are the product's own; devices, network and clock are models. The same
    options give the same figures, to the last digit.
    """
    axes = {name: options.pop(name) for name in ("policies", "troubles", "devices", "workers", "sights")}
    # What was not said is the question's to choose, or else the default of the cell.
    said = {name: value for name, value in options.items() if _was_said(name)}
    cells = Axes(**axes).over(QUESTIONS[question]).cells(attrs.evolve(BASES.get(question, DEFAULT), **said))
    results, seconds = sweep(cells, jobs or len(os.sched_getaffinity(0)), _progress)
    click.echo(render(results))
    click.echo(_pace(results, seconds), err=True)
    if json_file is not None:
        json_file.write_text(as_json(results))
    if svg_file is not None:
        svg_file.write_text(draw(results))


def _was_said(option: str) -> bool:
    return click.get_current_context().get_parameter_source(option) is not ParameterSource.DEFAULT


def _progress(done: int, of: int, seconds: float) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{done} of {of}, {seconds:.0f} s of CPU", err=True, nl=done == of)


def _pace(results: Sequence[Result], seconds: float) -> str:
    virtual = sum(result.cell.warmup + result.cell.seconds for result in results)
    served = sum(result.served + sum(result.failed.values()) for result in results)
    pace = f"{virtual:,.0f} s of virtual time and {served:,} counted requests in {seconds:.1f} s of CPU"
    return f"{pace}: {virtual / seconds:,.0f} times as fast, {1e6 * seconds / max(served, 1):.0f} µs a request"
