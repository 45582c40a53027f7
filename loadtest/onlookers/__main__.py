"""`python -m loadtest.onlookers`: what scrapes and dashboards do to requests, with and without them in turns.

The real proxy, three echo devices with a delay, clients with one request outstanding each and enough commands for an
exposition of some size. Prints p99 of each run, and the ratio of the middle ones. Exit code 1 above --limit.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import attrs
import click

from config.catalogue import Effect, load_catalogue
from loadtest.compare.contenders import NotInstalledError
from loadtest.compare.measure import Bench, run_load
from loadtest.compare.ours import DeviceUse, start_guardian
from loadtest.compare.pki import make_pki
from loadtest.compare.processes import Processes, ProgramError
from loadtest.native.programs import BuildError, Load, LoadError, LoadResult, build

_AT_ONCE: Final = 16  # commands that closed_loop takes
_BLOCKED: Final = frozenset({"TIME", "GPKD"})  # by the configuration of the comparison


@click.command()
@click.option("--rounds", default=12, show_default=True, help="Runs with, and as many without.")
@click.option("--seconds", default=4.0, show_default=True, help="Of each run.")
@click.option("--clients", default=8, show_default=True)
@click.option("--delay", default=2000, show_default=True, help="Microseconds a device takes.")
@click.option("--scrapes", default=100, show_default=True, help="A second.")
@click.option("--dashboards", default=20, show_default=True)
@click.option("--workers", default=1, show_default=True, help="Of the proxy; with several a supervisor is looked at.")
@click.option("--limit", default=1.2, show_default=True, help="Of p99 with, over p99 without.")
def main(
    rounds: int,
    seconds: float,
    clients: int,
    delay: int,
    scrapes: int,
    dashboards: int,
    workers: int,
    limit: float,
) -> None:
    """Measure p99 of requests with and without onlookers, in turns."""
    try:
        programs = build()
        with tempfile.TemporaryDirectory() as folder:
            ratio = _measure(
                programs,
                Path(folder),
                clients,
                seconds,
                rounds,
                delay,
                scrapes=scrapes,
                dashboards=dashboards,
                workers=workers,
            )
    except (BuildError, LoadError, NotInstalledError, ProgramError) as exc:
        raise click.ClickException(str(exc)) from exc
    click.echo(f"p99 with onlookers is {ratio:.2f} times that without; at most {limit:g} is wanted")
    sys.exit(ratio > limit)


def _measure(
    programs: Any,
    folder: Path,
    clients: int,
    seconds: float,
    rounds: int,
    delay: int,
    *,
    scrapes: int,
    dashboards: int,
    workers: int,
) -> float:
    pki = make_pki(folder / "pki")
    commands = sorted(load_catalogue()[0].effect(Effect.READ) - _BLOCKED)
    with Processes(folder) as processes:
        command: list[str | Path] = [programs.echo_device, *pki.device.options(), "--delay", str(delay)]
        devices = [processes.start(f"device {i}", command) for i in (1, 2, 3)]
        addresses = [device.first_line(timeout=10) for device in devices]
        guardian = start_guardian(processes, folder, pki, addresses, DeviceUse.of(1), workers=workers)
        assert guardian.program is not None, "it was just started"
        admin = _admin_of(folder)
        bench = Bench(processes=processes, closed_loop=programs.closed_loop, client=pki.client, devices=devices)
        pids = [guardian.program.pid]
        for start in range(0, len(commands), _AT_ONCE):  # each command has series from its first request on
            some = commands[start : start + _AT_ONCE]
            run_load(bench, Load(addresses=guardian.addresses, clients=4, seconds=0.2, commands=some), pids)
        commands = commands[:_AT_ONCE]
        load = Load(addresses=guardian.addresses, clients=clients, seconds=seconds, warmup=1.0, commands=commands)
        found: dict[bool, list[LoadResult]] = {False: [], True: []}
        for turn in range(rounds):
            for with_onlookers in (False, True):
                onlookers = (scrapes, dashboards) if with_onlookers else (0, 0)
                told, result, cpu = _run(bench, attrs.evolve(load, seed=turn + 1), pids, admin, *onlookers)
                found[with_onlookers].append(result)
                click.echo(_line(turn, with_onlookers, result, cpu, told, seconds))
        guardian.program.check()
    middle = {each: statistics.median(run.latency["p99"] for run in runs) for each, runs in found.items()}
    click.echo(f"middle of p99: {middle[False]:,.0f} µs without, {middle[True]:,.0f} µs with")
    return middle[True] / middle[False]


def _run(
    bench: Bench, load: Load, pids: list[int], admin: str, scrapes: int, dashboards: int
) -> tuple[dict[str, float], LoadResult, float]:
    watching = subprocess.Popen(
        [sys.executable, "-m", "loadtest.onlookers.watch", admin, str(scrapes), str(dashboards)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        result, before, after = run_load(bench, load, pids)
        told, _ = watching.communicate("\n", timeout=30)
    finally:
        watching.kill()
        watching.wait()
    if watching.returncode:
        raise ProgramError("the onlookers failed")
    if not result.clean:
        raise LoadError("some requests failed")
    return json.loads(told), result, after.tree(pids[0]) - before.tree(pids[0])


def _line(
    turn: int, with_onlookers: bool, result: LoadResult, cpu: float, told: dict[str, float], seconds: float
) -> str:
    times = ", ".join(f"{name} {result.latency[name]:,.0f}" for name in ("p50", "p99", "p99.9"))
    line = f"round {turn + 1} {'with' if with_onlookers else 'without':7}: {result.requests / result.seconds:6,.0f}"
    line += f" requests/s, {times} µs, proxy {cpu / seconds:.0%} of a core"
    if told["scrapes"]:
        line += (
            f", {told['scrapes']} scrapes of {told['scraped'] / told['scrapes'] / 1000:,.0f} kB"
            f" (slowest {told['slowest']:.2f} s), frames {told['watched'] / 1e6:,.1f} MB"
        )
    return line


def _admin_of(folder: Path) -> str:
    """The admin address that `start_guardian` chose: it stands in the file that it wrote last."""
    config = max(folder.glob("*.yaml"), key=lambda file: file.stat().st_mtime)
    return config.read_text().partition("admin:\n  bind: ")[2].split("\n", 1)[0]


if __name__ == "__main__":
    main()
