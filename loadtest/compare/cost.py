"""`python -m loadtest.compare.cost`: HAProxy and ours in turns, with loads and uses of devices of your own choice."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from loadtest.native.programs import BuildError, Load, LoadError, build

from .command import find_guardian
from .comparison import Plan, compare
from .contenders import NotInstalledError
from .figures import summarise
from .haproxy import NAME, find_haproxy
from .interrupts import ended_by_sigterm
from .machine import describe_machine
from .ours import DeviceUse
from .processes import ProgramError
from .report import as_json, render


def _counts(_context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    parts = value.split(",")
    if not all(part.isdecimal() and 1 <= int(part) <= 10_000 for part in parts):
        raise click.BadParameter(f"{value!r} should be numbers from 1, such as 8,64", param=parameter)
    return [int(part) for part in parts]


def _uses(_context: click.Context, parameter: click.Parameter, value: str) -> list[DeviceUse]:
    uses = []
    for part in value.split(","):
        pipeline, _, connections = part.partition("x")
        if not (pipeline.isdecimal() and int(pipeline) and (connections or "1").isdecimal() and connections != "0"):
            raise click.BadParameter(
                f"{part!r} should be PIPELINE or PIPELINExCONNECTIONS, such as 1 or 64x4", param=parameter
            )
        uses.append(DeviceUse.of(int(pipeline), int(connections or 0)))
    return uses


CONTENDERS: Final = ("direct", "haproxy", "guardian")


@click.command()
@click.option("--clients", default="8,64", callback=_counts, help="Numbers of clients, each a table.  [8,64]")
@click.option("--rounds", default=3, type=click.IntRange(1, 1000), show_default=True)
@click.option("--seconds", default=4.0, type=click.FloatRange(0.1, 3600), show_default=True, help="Of each run.")
@click.option(
    "--warmup", default=1.0, type=click.FloatRange(0, 600), show_default=True, help="Seconds before each run."
)
@click.option("--depth", default=1, type=click.IntRange(1, 1024), show_default=True, help="Requests a client has out.")
@click.option(
    "--pipeline",
    default="1,64",
    callback=_uses,
    metavar="N[xC],...",
    help="Ours with N requests outstanding on each of C connections per device; C by default 64/N, at most 8.  [1,64]",
)
@click.option(
    "--device-delay",
    default=0,
    type=click.IntRange(0, 10_000_000),
    show_default=True,
    help="Microseconds a device takes for an answer.",
)
@click.option("--devices", default=3, type=click.IntRange(1, 16), show_default=True)
@click.option("--only", multiple=True, type=click.Choice(CONTENDERS), help="Leave the others out; may be repeated.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, writable=True, path_type=Path),
              help="Write every figure there too.")  # fmt: skip
def main(
    *,
    clients: Sequence[int],
    rounds: int,
    seconds: float,
    warmup: float,
    depth: int,
    pipeline: Sequence[DeviceUse],
    device_delay: int,
    devices: int,
    only: Sequence[str],
    json_file: Path | None,
) -> None:
    """Compare CPU per request, throughput and latency of HAProxy and our proxy, interleaved in one run.

    Exit code 1 when an answer was wrong, an error or missing, or when something could not be started.
    """
    wanted = only or CONTENDERS
    load = Load(
        addresses=(), clients=1, depth=depth, seconds=seconds, warmup=warmup, commands=("ECHO", "RAND", "HMAC", "TPIN")
    )
    plan = Plan(
        clients=clients,
        rounds=rounds,
        load=load,
        devices=devices,
        device_delay=device_delay,
        direct="direct" in wanted,
        haproxy="haproxy" in wanted,
        uses=pipeline if "guardian" in wanted else (),
    )
    try:
        machine = describe_machine(
            haproxy=find_haproxy() if plan.haproxy else None, guardian=find_guardian() if plan.uses else None
        )
        with ended_by_sigterm(), tempfile.TemporaryDirectory(prefix="compare-") as folder:
            measurements = compare(plan, build(), Path(folder), progress=_progress())
    except (NotInstalledError, BuildError, ProgramError, LoadError) as exc:
        raise click.ClickException(str(exc)) from exc
    rows = summarise(measurements, reference=NAME, cores=int(machine["cores"]))
    click.echo(render(rows, machine))
    if json_file is not None:
        json_file.write_text(as_json(rows, measurements, machine, plan.facts()))
    if not all(row.clean for row in rows):
        raise SystemExit(1)


def _progress() -> Callable[[str], None]:
    return lambda text: click.echo(text, err=True)


if __name__ == "__main__":
    main()
