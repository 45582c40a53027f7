"""`guardian check`: everything that is wrong with a configuration, in one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guardian import console

from .credentials import environment

if TYPE_CHECKING:
    from config.model import Config


def _print_schema(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.resources import files  # noqa: PLC0415 (only this call needs it)

        console.say(files("config").joinpath("guardian.schema.json").read_text("utf-8").rstrip())
        ctx.exit()


@click.command()
@click.option("--schema", is_flag=True, is_eager=True, expose_value=False, callback=_print_schema,
              help="Print the JSON Schema of the configuration, for editors, and do nothing else.")  # fmt: skip
@click.argument("config", type=click.Path(dir_okay=False, path_type=Path))
def check(config: Path) -> int:
    """Validate CONFIG and read every file it names.

    Prints one line for each problem: FILE:LINE: key: what is wrong, what would be right. Exit code 1 if there is one,
    0 if there are only warnings or none.
    """
    from config.loader import load  # noqa: PLC0415 (YAML, cattrs and cryptography)

    loaded = load(config, read_files=True, environment=environment())
    for problem in loaded.problems:
        console.say(f"{problem}{' (only a warning)' if problem.severity == 'warning' else ''}")
    if loaded.config is None:
        console.say(f"{config}: {_count(len(loaded.errors), 'problem')}", err=True)
        return 1
    found = loaded.config
    if _damaged_journals(config, found):
        return 1
    _say_excesses(config, found)
    devices = sum(len(group.devices) for group in found.groups)
    files = len(set(_paths(found)))
    console.say(
        f"{config}: fine: {_count(len(found.listeners), 'listener')}, {_count(len(found.groups), 'group')}, "
        f"{_count(devices, 'device')}; {_count(files, 'file')} it names read"
    )
    return 0


def _damaged_journals(path: Path, config: Config) -> int:
    """How many there are, each said in a line of its own."""
    from guardian.journal import examine  # noqa: PLC0415 (trio)

    damaged = 0
    for group in config.groups:
        fault = examine(group.writes.journal) if group.writes.journal is not None else None
        if fault is not None:
            damaged += 1
            console.say(
                f"{path}:1: groups.{group.name}.writes.journal: names {group.writes.journal}: {fault}, must be a write "
                "journal (docs/operations.md, A damaged write journal)"
            )
    return damaged


def _say_excesses(path: Path, config: Config) -> None:
    """What as many workers as this machine has cores cannot keep to; where their number is given, it was said."""
    from guardian.workers.cores import worker_count  # noqa: PLC0415 (only where it is asked for)
    from guardian.workers.portions import excesses  # noqa: PLC0415

    if config.workers != "auto":
        return
    count = worker_count(config.workers)
    for key, most in excesses(config, count):
        console.say(
            f"{path}:1: {key}: is {most}, must be at least {count} to be kept by the {count} workers that are started "
            "here: each takes one (only a warning)"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _paths(section: Any) -> Iterator[Path]:
    """Every file that a part of the configuration names."""
    if isinstance(section, Path):
        yield section
    elif isinstance(section, tuple):
        for part in section:
            yield from _paths(part)
    elif hasattr(section, "__attrs_attrs__") and not isinstance(section, Mapping):
        for attribute in section.__attrs_attrs__:
            yield from _paths(getattr(section, attribute.name))
