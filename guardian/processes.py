"""Another process of ours, started by the same interpreter."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from . import handover, notify

# It finds what we do: an isolated interpreter is not told by the environment, and the working directory has no say.
_PROGRAM: Final = "import importlib, sys; sys.path[:] = {path!r}; sys.exit(importlib.import_module(sys.argv[1]).main())"
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


def command(module: str, *arguments: str) -> list[str]:
    """It calls ``main()`` of ``module``, which finds ``arguments`` in ``sys.argv[2:]``."""
    flags = ["-I" if sys.flags.isolated else "-P", *["-S"] * sys.flags.no_site, *["-O"] * sys.flags.optimize]
    program = _PROGRAM.format(path=[folder for folder in sys.path if folder])
    return [sys.executable, *flags, "-c", program, module, *arguments]


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """``ours`` but for what our parent says to us alone."""
    return {name: value for name, value in ours.items() if name not in _FOR_US_ALONE}
