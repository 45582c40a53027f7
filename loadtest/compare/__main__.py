"""`python -m loadtest.compare`: HAProxy, nginx and ours in turns, in every situation that has a target."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import click

from loadtest.native.programs import BuildError, LoadError, build

from .command import find_guardian
from .contenders import NotInstalledError
from .haproxy import find_haproxy
from .interrupts import ended_by_sigterm
from .machine import describe_machine
from .nginx import find_nginx
from .page import Chapter, MarksMissingError, Report, as_json, put_into, render
from .processes import ProgramError
from .scenarios import SCENARIOS, Scenario
from .targets import TARGETS, judge
from .workshop import Effort, Workshop

_NAMES: Final = [scenario.name for scenario in SCENARIOS]


def _rows(_context: click.Context, parameter: click.Parameter, value: str) -> list[Scenario]:
    wanted = value.split(",") if value else _NAMES
    unknown = [name for name in wanted if name not in _NAMES]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(_NAMES)}", param=parameter)
    return [scenario for scenario in SCENARIOS if scenario.name in wanted]


@click.command()
@click.option("--rows", "scenarios", default="", callback=_rows, metavar="NAME,...",
              help=f"Only these of {', '.join(_NAMES)}.")  # fmt: skip
@click.option("--quick", is_flag=True, help="A third of a second each, once: only to see that it works.")
@click.option("--rounds", type=click.IntRange(1, 100), help="How often each is measured, in turns.  [3]")
@click.option("--seconds", type=click.FloatRange(0.1, 3600), help="Of each run.  [2]")
@click.option("--page", type=click.Path(exists=True, dir_okay=False, writable=True, path_type=Path),
              help="Write what was measured between the marks of this page.")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(dir_okay=False, writable=True, path_type=Path),
              help="Write every figure there.")  # fmt: skip
def main(
    *,
    scenarios: Sequence[Scenario],
    quick: bool,
    rounds: int | None,
    seconds: float | None,
    page: Path | None,
    json_file: Path | None,
) -> None:
    """Measure HAProxy, nginx and our proxy in turns, and say which targets are met.

    Exit code 1 when something could not be measured, or an answer was wrong, an error or missing where none may be.
    """
    effort = Effort.quick() if quick else Effort()
    effort = attrs.evolve(effort, rounds=rounds or effort.rounds, seconds=seconds or effort.seconds)
    began = time.monotonic()
    try:
        machine = describe_machine(haproxy=find_haproxy(), nginx=find_nginx(), guardian=find_guardian())
        with ended_by_sigterm(), tempfile.TemporaryDirectory(prefix="compare-") as folder:
            workshop = Workshop(programs=build(), folder=Path(folder), effort=effort, progress=_progress)
            complete = measure_all(workshop, scenarios)
    except (NotInstalledError, BuildError) as exc:
        raise click.ClickException(str(exc)) from exc
    report = _report(workshop, scenarios, machine, _method(effort, began))
    click.echo(render(report))
    _write(report, page, json_file)
    if not complete:
        raise SystemExit(1)


def measure_all(workshop: Workshop, scenarios: Sequence[Scenario]) -> bool:
    """Run them; one that fails is remarked and the others go on. Whether all was measured and every answer right."""
    complete = True
    for scenario in scenarios:
        try:
            scenario.run(workshop)
        except (NotInstalledError, ProgramError, LoadError) as exc:
            workshop.remarks.append(f"{scenario.name}: not measured to the end: {_brief(exc, workshop.folder)}")
            workshop.progress(f"{scenario.name}: {exc}")
            complete = False
    return complete and all(run.clean for _, run in workshop.runs)


def _brief(error: Exception, folder: Path) -> str:
    """What happened and the last that the program said, without the names of our folder."""
    lines = re.sub(rf"{folder}/[\w-]+/", "", str(error)).splitlines()
    return lines[0] if len(lines) == 1 else f"{lines[0]}: {lines[-1].removeprefix('  | ')}"


def _method(effort: Effort, began: float) -> str:
    return (
        f"All proxies in one run on the same machine, in turns (A B A B), {effort.rounds} rounds of"
        f" {effort.seconds:g} s; the median of the rounds, in brackets the least and the most. A ratio is of"
        f" two figures of one round. Written on {time.strftime('%Y-%m-%d', time.gmtime())} by a run of"
        f" {(time.monotonic() - began) / 60:.0f} minutes."
    )


def _report(workshop: Workshop, scenarios: Sequence[Scenario], machine: Mapping[str, str | int], method: str) -> Report:
    names = {scenario.name for scenario in scenarios}
    meddling = workshop.meddling()
    return Report(
        machine=machine,
        method=method,
        chapters=[Chapter(title=each.title, note=each.note, figures=each.figures) for each in scenarios],
        readings=workshop.readings,
        verdicts=[judge(target, workshop.readings) for target in TARGETS if target.scenario in names],
        runs=workshop.runs,
        remarks=[*workshop.remarks, *([meddling] if meddling else [])],
    )


def _write(report: Report, page: Path | None, json_file: Path | None) -> None:
    if json_file is not None:
        json_file.write_text(as_json(report))
    if page is not None:
        try:
            page.write_text(put_into(page.read_text(), render(report)))
        except MarksMissingError as exc:
            raise click.ClickException(f"{page}: {exc}") from exc


def _progress(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
