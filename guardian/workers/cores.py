"""How many workers there are to be: what the configuration says, or as many as there are cores to use."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final, Literal

_MOST: Final = 64
_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")  # cgroups(7): of a container, or of nothing


def worker_count(workers: int | Literal["auto"], quota: Path = _QUOTA) -> int:
    """``quota``: the file that says how much of the cores' time a container may use; it need not be there.

    A part of a core counts as one: a process more than there are cores costs less than a core that is idle.
    """
    if workers != "auto":
        return workers
    return min(len(os.sched_getaffinity(0)), _bought(quota), _MOST)


def _bought(quota: Path) -> int:
    try:
        most, period = quota.read_text("ascii").split()
        return max(1, math.ceil(int(most) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or `max`: no quota
        return _MOST
