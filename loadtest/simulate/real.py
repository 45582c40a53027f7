"""`python -m loadtest.simulate.real`: the real proxy with each policy that it has, beside what the simulation says.

Three echo devices of which one is ten times slower, clients in a closed loop, the policies in turns. What is compared
is the order of the policies and their ratios: real requests also wait for cores.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from loadtest.compare.contenders import NotInstalledError
from loadtest.compare.ours import Extras
from loadtest.compare.processes import ProgramError
from loadtest.compare.workshop import Effort, Workshop
from loadtest.native.programs import BuildError, LoadError, build

from .cell import Cell, Trouble, simulate
from .policies import PRODUCTS, Name

_SECONDS: Final = 0.02  # that a healthy device takes for a request: so long that waiting for a core adds little
_AT_ONCE: Final = 4
# To each device: so many that nobody waits for one. Else all are always busy with 64 clients, each request goes to
# whoever has room, and no policy decides anything.
_CONNECTIONS: Final = 32
_FROM_SOURCES: Final = (sys.executable, "-c", "from guardian.cli import main; main()")


def _device(factor: int) -> tuple[str, ...]:
    return ("--delay", f"{1e6 * _SECONDS * factor:.0f}", "--at-once", str(_AT_ONCE))


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 100))
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0.5, 600.0), help="Of each run.")
@click.option("--sources", is_flag=True, help="Run the sources here instead of what is installed.")
def main(rounds: int, seconds: float, *, sources: bool) -> None:
    """p99 of the real proxy by policy, one of three devices ten times slower, 16 and 64 clients."""
    policies = (Name.WORK, Name.COUNT, Name.ROUND_ROBIN)
    try:
        with tempfile.TemporaryDirectory(prefix="real-") as folder:
            effort = Effort(rounds=rounds, seconds=seconds, warmup=2.0)
            measured = _measured(
                Workshop(programs=build(), folder=Path(folder), effort=effort, progress=click.echo),
                policies,
                _FROM_SOURCES if sources else (),
            )
    except (BuildError, LoadError, NotInstalledError, ProgramError) as exc:
        raise click.ClickException(str(exc)) from exc
    click.echo(f"{'clients':>8}  {'policy':<12}{'real p99':>12}{'of count':>10}{'simulated':>12}{'of count':>10}")
    for clients in (16, 64):
        said = {policy: _simulated(policy, clients) for policy in policies}
        for policy in policies:
            real = measured[clients, policy]
            click.echo(
                f"{clients:8}  {policy.value:<12}{1000 * real:9.1f} ms{real / measured[clients, Name.COUNT]:10.2f}"
                f"{1000 * said[policy]:9.1f} ms{said[policy] / said[Name.COUNT]:10.2f}"
            )


def _measured(workshop: Workshop, policies: Sequence[Name], command: Sequence[str]) -> dict[tuple[int, Name], float]:
    """The middle p99 of the rounds, seconds."""
    found: dict[tuple[int, Name], list[float]] = {}
    with workshop.stage(_device(1), _device(1), _device(10)) as stage:
        proxies = {
            policy: stage.guardian(
                command=command,
                name=policy.value,
                connections=_CONNECTIONS,
                extras=Extras(balancing=f"{{policy: {PRODUCTS[policy].value}}}"),
            )
            for policy in policies
        }
        for turn in range(1, workshop.effort.rounds + 1):
            for clients in (16, 64):
                for policy, proxy in proxies.items():
                    run = workshop.measure(f"{clients} clients", stage, proxy, workshop.load(clients), turn)
                    found.setdefault((clients, policy), []).append(run.p99 / 1e6)
    return {key: statistics.median(values) for key, values in found.items()}


def _simulated(policy: Name, clients: int) -> float:
    cell = Cell(
        policy=policy,
        trouble=Trouble.SLOW,
        clients=clients,
        mix="alike",
        service=_SECONDS,
        variation=0.0,
        parallel=_AT_ONCE,
        connections=_CONNECTIONS,
        seconds=120.0,
        warmup=5.0,
    )
    return simulate(cell).quantiles["99"]


if __name__ == "__main__":
    main()
