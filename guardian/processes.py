"""Another process of ours, started by the same interpreter."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import guardian

from . import handover, notify

_PACKAGES: Final = Path(guardian.__file__).parent.parent
_FOR_US_ALONE: Final = frozenset(
    (
        handover.VARIABLE,
        notify.SOCKET,
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
    )
)


def command(module: str) -> list[str]:
    """The interpreter is asked for the same as this one was. Never a module of the working directory (-P)."""
    flags = ["-I"] if sys.flags.isolated else ["-P"]
    return [sys.executable, *flags, *["-O"] * sys.flags.optimize, "-m", module]


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """``ours`` but for what our parent says to us alone; it finds the same packages as this process."""
    kept = {name: value for name, value in ours.items() if name not in _FOR_US_ALONE}
    searched = [each for each in kept.get("PYTHONPATH", "").split(os.pathsep) if each]
    if str(_PACKAGES) not in (*searched, *site.getsitepackages()):
        kept["PYTHONPATH"] = os.pathsep.join((str(_PACKAGES), *searched))
    return kept
