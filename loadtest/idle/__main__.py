"""`python -m loadtest.idle`: 10,000 idle TLS connections on one worker, and what each of them costs.

The real proxy with mutual TLS, an echo device, and `hold`, which asks one request on each connection and stays.
Requests of others are served meanwhile. They leave, and as many come again, which must take no more memory than the
first. Then a fresh proxy takes a burst of handshakes at once. Memory is PSS. Exit code 1 where a connection costs more
than --limit, the second round takes more than the first, or a request fails.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import click

from loadtest.compare.contenders import Contender, NotInstalledError
from loadtest.compare.measure import run_load
from loadtest.compare.memory import tree_pss
from loadtest.compare.ours import Extras
from loadtest.compare.processes import Program, ProgramError
from loadtest.compare.stage import Stage
from loadtest.compare.workshop import Effort, Workshop
from loadtest.native.programs import BuildError, Load, LoadError, build

_FIRST: Final = 10  # connections before, so that what is made once is there
_SETTLING: Final = 1.0  # seconds
_SLACK: Final = 1.03  # of all memory, that a second round may take more
_FROM_SOURCES: Final = (sys.executable, "-c", "from guardian.cli import main; main()")


@attrs.frozen(kw_only=True)
class _Held:
    """Bytes of the proxy, and how many connections had to be opened again."""

    before: int
    held: int
    after: int
    again: int  # with as many connections a second time; 0 where they did not come
    failed: int
    connections: int

    @property
    def each(self) -> float:
        """KiB."""
        return (self.held - self.before) / self.connections / 1024


@click.command()
@click.option("--connections", default=10_000, show_default=True, type=click.IntRange(1, 50_000))
@click.option("--burst", default=1_000, show_default=True, type=click.IntRange(1, 50_000), help="Handshakes at once.")
@click.option("--limit", default=30.0, show_default=True, help="KiB for a connection, at most.")
@click.option("--patience", default=240.0, show_default=True, help="Seconds for all to be open.")
@click.option("--sources", is_flag=True, help="Run the sources here instead of what is installed.")
def main(connections: int, burst: int, limit: float, patience: float, *, sources: bool) -> None:
    """Hold idle TLS connections on one worker, and say what each of them costs."""
    command = _FROM_SOURCES if sources else ()
    try:
        with tempfile.TemporaryDirectory(prefix="idle-") as folder:
            workshop = Workshop(programs=build(), folder=Path(folder), effort=Effort(), progress=click.echo)
            quiet = _quiet(workshop, command, connections, patience)
            crowd = _crowd(workshop, command, burst, patience)
    except (BuildError, LoadError, NotInstalledError, ProgramError) as exc:
        raise click.ClickException(str(exc)) from exc
    most = max(quiet.each, crowd.each)
    swollen = quiet.again > quiet.held * _SLACK
    if swollen:
        click.echo("the second round took more memory than the first")
    click.echo(f"{most:.1f} KiB for a connection at most; {limit:g} KiB are allowed")
    sys.exit(most > limit or swollen)


def _quiet(workshop: Workshop, command: Sequence[str], connections: int, patience: float) -> _Held:
    with workshop.stage(()) as stage:
        proxy = stage.guardian(command=command, extras=Extras(limits=f"{{connections: {connections + 100}}}"))
        held = _hold(stage, proxy, connections, at_once=16, patience=patience, served=True)
    _tell(f"{connections:,} idle connections", held)
    return held


def _crowd(workshop: Workshop, command: Sequence[str], burst: int, patience: float) -> _Held:
    with workshop.stage(()) as stage:
        # They also ask all at once, which is not what is measured: nobody is told BUSY for it.
        extras = Extras(limits=f"{{connections: {burst + 100}}}", queue=f"{{size: {burst}, timeout: 10s}}")
        proxy = stage.guardian(command=command, extras=extras)
        held = _hold(stage, proxy, burst, at_once=burst, patience=patience, served=False)
    _tell(f"{burst:,} handshakes at once", held)
    return held


def _tell(what: str, held: _Held) -> None:
    mebi = 1024 * 1024
    again = f", {held.again / mebi:.1f} with as many again" if held.again else ""
    click.echo(
        f"{what}: {held.each:.1f} KiB each ({held.before / mebi:.1f} MiB before, {held.held / mebi:.1f} with them,"
        f" {held.after / mebi:.1f} when they were gone{again}), {held.failed} had to be opened again"
    )


def _hold(stage: Stage, proxy: Contender, connections: int, *, at_once: int, patience: float, served: bool) -> _Held:
    assert proxy.program is not None, "it was just started"
    root = proxy.program.pid
    stage.processes.stop(_opened(stage, proxy, _FIRST, _FIRST, patience)[0])
    before = tree_pss(root)
    started = time.monotonic()
    holder, failed = _opened(stage, proxy, connections, at_once, patience)
    click.echo(f"{connections:,} connections are open after {time.monotonic() - started:.1f} s")
    time.sleep(_SETTLING)
    held = tree_pss(root)
    if served:
        load = Load(addresses=proxy.addresses, clients=8, seconds=2.0, warmup=0.5)
        result, _, _ = run_load(stage.bench, load, [root])
        if not result.clean or not result.requests:
            raise LoadError("requests failed beside the idle connections")
        rate, p99 = result.requests / result.seconds, result.latency["p99"]
        click.echo(f"beside them 8 clients had {rate:,.0f} requests/s, p99 {p99 / 1000:.1f} ms")
    stage.processes.stop(holder)
    time.sleep(_SETTLING)
    after, again = tree_pss(root), 0
    if served:
        holder, more = _opened(stage, proxy, connections, at_once, patience)
        time.sleep(_SETTLING)
        failed, again = failed + more, tree_pss(root)
        stage.processes.stop(holder)
    return _Held(before=before, held=held, after=after, again=again, failed=failed, connections=connections)


def _opened(stage: Stage, proxy: Contender, connections: int, at_once: int, patience: float) -> tuple[Program, int]:
    """`hold` with so many connections open, and how many had to be opened again. Raises ProgramError."""
    (address,) = proxy.addresses
    command: list[str | Path] = [stage.programs.hold, "--connect", address, *stage.pki.client.options()]
    command += ["--clients", str(connections), "--at-once", str(at_once), "--timeout", str(patience)]
    holder = stage.processes.start("hold", command)
    told = json.loads(holder.first_line(timeout=patience + 5))
    return holder, told["failed"]


if __name__ == "__main__":
    main()
