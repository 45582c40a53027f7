"""`python -m bench`: instructions per request beside those of the baseline."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import click

from .baseline import TOLERANCE, Runtime, accept, load, this_runtime, worse
from .cases import CASES
from .counting import CannotCount, count


@click.command()
@click.option("--sources", is_flag=True, help="Count the sources here, interpreted, not what is installed.")
@click.option("--accept", "accepted", is_flag=True, help="Make these figures the baseline.")
@click.option("--only", multiple=True, metavar="CASE", help="Leave the others out; may be repeated.")
@click.option(
    "--profile",
    type=click.Path(file_okay=False, path_type=Path),
    help="Leave callgrind's files in that folder: part.4 is the longer run of the first case, part.8 of the second.",
)
def main(*, sources: bool, accepted: bool, only: tuple[str, ...], profile: Path | None) -> None:
    """Count the instructions that one request takes in Python, case by case, without TLS and the kernel.

    Exit code 1 when a case takes more than 10 % more than its baseline. Where there is no baseline for this
    interpreter, that is said, and nothing can fail.
    """
    units = {case.name: case.unit for case in CASES if not only or case.name in only}
    unknown = set(only) - units.keys()
    if unknown:
        names = ", ".join(f'"{case.name}"' for case in CASES)
        raise click.UsageError(f"no case {', '.join(sorted(unknown))}; there are {names}")
    runtime = this_runtime(compiled=not sources and _installed_is_compiled())
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            folder = profile or Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            for former in folder.glob("part*"):
                former.unlink()
            figures = count(folder, units, sources=sources)
    except CannotCount as exc:
        raise click.UsageError(str(exc)) from exc
    baseline = load(runtime)
    click.echo(_table(figures, baseline or {}))
    if accepted:
        click.echo(f"\nthe baseline is now in {accept(runtime, figures)}")
        return
    raise SystemExit(_verdict(figures, baseline, runtime))


def _installed_is_compiled() -> bool:
    """Asked of another process: this one may have imported the sources."""
    code = "import importlib.util as u; print(u.find_spec('balancer.cost').origin)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip().endswith(tuple(EXTENSION_SUFFIXES))


def _table(figures: Mapping[str, float], baseline: Mapping[str, float]) -> str:
    lines = [f"{'instructions per request':24} {'now':>9} {'baseline':>9} {'change':>8}"]
    for name, value in figures.items():
        before = baseline.get(name)
        told = "" if before is None else f"{before:9,.0f} {value / before - 1:+8.1%}"
        if before is not None and value > before * (1 + TOLERANCE):
            told += "  too many"
        lines.append(f"{name:24} {value:9,.0f} {told}".rstrip())
    return "\n".join(lines)


def _verdict(figures: Mapping[str, float], baseline: Mapping[str, float] | None, runtime: Runtime) -> int:
    if baseline is None:
        made_by = f" made by {runtime.compiled_by}" if runtime.compiled_by else ""
        click.echo(
            f"\nnothing was compared: there is no baseline for {runtime.name}{made_by};"
            " `make bench ARGS=--accept` makes these figures one"
        )
        return 0
    costly = worse(figures, baseline)
    if not costly:
        click.echo(f"\nno case takes more than {TOLERANCE:.0%} more than in {runtime.file.name}")
        return 0
    click.echo(
        f"\nmore than {TOLERANCE:.0%} more instructions than in {runtime.file.name}: {'; '.join(costly)}."
        " If that is worth it, `make bench ARGS=--accept` and commit the file, with the reason."
    )
    return 1


if __name__ == "__main__":
    main()
