"""Memory of connections that do nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from loadtest.compare.contenders import Contender
from loadtest.compare.memory import tree_pss
from loadtest.compare.readings import Figure
from loadtest.compare.stage import Stage
from loadtest.compare.workshop import Workshop

from .scenario import Scenario

PATIENCE: Final = 60.0  # seconds for all to be open
SETTLING: Final = 1.0  # seconds from the last answer to the look at memory
FEW: Final = 4  # handshakes at a time, where there is no burst
FIRST: Final = 10  # connections opened and closed before, so that what is made once is there


def _hold(stage: Stage, contender: Contender, connections: int, at_once: int, look: Callable[[], int]) -> int:
    """Hold so many open; what `look` finds meanwhile. Raises ProgramError when they do not all open."""
    (address,) = contender.addresses
    command: list[str | Path] = [stage.programs.hold, "--connect", address, *stage.pki.client.options()]
    command += ["--clients", str(connections), "--at-once", str(at_once), "--timeout", str(PATIENCE)]
    holder = stage.processes.start("hold", command)
    try:
        holder.first_line(timeout=PATIENCE + 5)
        time.sleep(SETTLING)
        holder.check()
        return look()
    finally:
        stage.processes.stop(holder)


def _per_connection(stage: Stage, contender: Contender, connections: int, at_once: int) -> float:
    """KiB that each of so many idle connections adds; so many are opened at once."""
    assert contender.program is not None, "only proxies are measured so"
    root = contender.program.pid
    _hold(stage, contender, FIRST, FIRST, lambda: 0)
    before = tree_pss(root)
    after = _hold(stage, contender, connections, at_once, lambda: tree_pss(root))
    return (after - before) / connections / 1024


def run(workshop: Workshop) -> None:
    connections = workshop.effort.connections
    for turn in range(1, min(2, workshop.effort.rounds) + 1):
        for figure, at_once in (("memory.idle", FEW), ("memory.burst", connections)):
            with workshop.stage() as stage:
                for contender in [*stage.others(), stage.guardian()]:
                    size = _per_connection(stage, contender, connections, at_once)
                    workshop.readings.add(figure, contender.name, turn, size)
                    workshop.tell(figure, turn, contender.name, f"{size:.1f} KiB")


SCENARIO: Final = Scenario(
    name="memory",
    title="Memory per idle connection",
    note=(
        "PSS of all of a fresh proxy's processes, with 1,000 idle connections and without, over 1,000. Each"
        " connection has asked one request. They are opened four at a time, or all at once. HAProxy and nginx"
        " hold a connection to a device for each."
    ),
    figures=[
        Figure(name="memory.idle", title="opened four at a time", unit="KiB"),
        Figure(name="memory.burst", title="opened all at once", unit="KiB"),
    ],
    run=run,
)
