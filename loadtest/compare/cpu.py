"""CPU time of processes and of the machine, from /proc (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import attrs

PROC: Final = Path("/proc")
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@attrs.frozen(kw_only=True)
class ProcessTime:
    """One process, with all its threads. Ticks are user and system together."""

    pid: int
    parent: int
    own: int
    reaped: int  # of children that have ended and were waited for, and of theirs

    @property
    def ticks(self) -> int:
        return self.own + self.reaped


def parse_stat(text: str) -> ProcessTime:
    """Read a /proc/PID/stat line. The name stands in brackets and may itself hold spaces and brackets."""
    head, _, tail = text.rpartition(")")
    fields = tail.split()  # from field 3, the state
    user, system, reaped_user, reaped_system = (int(value) for value in fields[11:15])
    return ProcessTime(
        pid=int(head.split("(", 1)[0]), parent=int(fields[1]), own=user + system, reaped=reaped_user + reaped_system
    )


def read_processes(proc: Path = PROC) -> dict[int, ProcessTime]:
    """Every process there is now. One that ends while we look is left out."""
    found = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                process = parse_stat((entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue
            found[process.pid] = process
    return found


def tree(processes: Mapping[int, ProcessTime], root: int) -> list[int]:
    """A process and all below it that live."""
    found = [root]
    for pid in found:
        found += [process.pid for process in processes.values() if process.parent == pid]
    return found


def tree_seconds(processes: Mapping[int, ProcessTime], root: int) -> float:
    """CPU of a process and all below it, living or waited for, in seconds. Raises KeyError when the root has gone.

    A child that ends moves its time into its parent's, so the sum never falls while the root lives.
    """
    return sum(processes[pid].ticks for pid in tree(processes, root)) / TICKS_PER_SECOND


def parse_machine_busy(text: str) -> float:
    """CPU seconds all cores have worked since boot, from /proc/stat's first line; idle and disk waits are no work."""
    fields = [int(value) for value in text.split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, interrupts, soft_interrupts, *stolen = fields
    return (user + nice + system + interrupts + soft_interrupts + sum(stolen[:1])) / TICKS_PER_SECOND


def wanted_seconds(pid: int, proc: Path = PROC) -> float:
    """How long a process's first thread has run or waited for a core: it had work to do. 0.0 where that is not told."""
    try:
        running, waiting, _slices = (proc / str(pid) / "schedstat").read_text().split()
    except OSError:
        return 0.0
    return (int(running) + int(waiting)) / 1e9


@attrs.frozen(kw_only=True)
class CpuSample:
    """CPU seconds used until one moment."""

    machine: float
    processes: Mapping[int, ProcessTime]
    wanted: Mapping[int, float]  # see wanted_seconds

    @classmethod
    def take(cls, pids: Iterable[int]) -> CpuSample:
        """Now; `wanted` for those processes."""
        return cls(
            machine=parse_machine_busy((PROC / "stat").read_text()),
            processes=read_processes(),
            wanted={pid: wanted_seconds(pid) for pid in pids},
        )

    def tree(self, root: int) -> float:
        return tree_seconds(self.processes, root)
