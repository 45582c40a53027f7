"""How many workers there are to be: what the configuration says, or as many as there are cores to use."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final, Literal

_MOST: Final = 64
_GROUPS: Final = Path("/sys/fs/cgroup")  # cgroups(7), version 2
_OURS: Final = Path("/proc/self/cgroup")


def worker_count(workers: int | Literal["auto"], groups: Path = _GROUPS, ours: Path = _OURS) -> int:
    """``ours``: the file that says which of the ``groups`` this process is in; neither need be there.

    A group and those above it say how much of the cores' time it may use: a container's, or a service's (CPUQuota=).
    A part of a core counts as one: a process more than there are cores costs less than a core that is idle.
    """
    if workers != "auto":
        return workers
    bought = min(_bought(folder / "cpu.max") for folder in _folders(groups, ours))
    return min(len(os.sched_getaffinity(0)), bought, _MOST)


def _folders(groups: Path, ours: Path) -> list[Path]:
    """Of our group, and of those above it."""
    try:
        lines = ours.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        lines = []
    below = next((line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")), "")
    folder = groups / below
    return [folder, *(each for each in folder.parents if each.is_relative_to(groups))]


def _bought(quota: Path) -> int:
    try:
        most, period = quota.read_text("ascii").split()
        return max(1, math.ceil(int(most) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or `max`: no quota
        return _MOST
