"""Memory of processes from /proc/PID/smaps_rollup (proc(5))."""

from __future__ import annotations

from pathlib import Path

from .cpu import PROC, read_processes, tree


def parse_pss(text: str) -> int:
    """Bytes of the Pss line: what a process has for itself, and its share of what it shares with others."""
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError("there is no line Pss: in smaps_rollup")


def tree_pss(root: int, proc: Path = PROC) -> int:
    """Bytes of a process and all below it."""
    return sum(parse_pss((proc / str(pid) / "smaps_rollup").read_text()) for pid in tree(read_processes(proc), root))
