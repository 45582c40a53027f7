"""How a worker is started: its command, its descriptors, and the one variable of the environment that says which."""

from __future__ import annotations

import json
import os
import site
import socket
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Final

import attrs

import guardian
from guardian import handover, notify

VARIABLE: Final = "GUARDIAN_WORKER"
_OF_THE_SUPERVISOR: Final = (
    VARIABLE,
    handover.VARIABLE,
    notify.SOCKET,
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
)
_PACKAGES: Final = Path(guardian.__file__).parent.parent


@attrs.frozen(kw_only=True)
class Handing:
    """What a worker is given at its start; the rest comes over the line."""

    number: int  # from 1
    count: int  # of all workers
    file: Path  # of the configuration: for its messages, and what relative paths are relative to
    line: socket.socket  # for `Channel`
    board: int  # a descriptor

    def environment(self, ours: Mapping[str, str]) -> dict[str, str]:
        """That of the worker. It finds the same packages as this process, and never one in the working directory."""
        said = {
            "number": self.number,
            "count": self.count,
            "file": str(self.file),
            "line": self.line.fileno(),
            "board": self.board,
        }
        kept = {name: value for name, value in ours.items() if name not in _OF_THE_SUPERVISOR}
        searched = [each for each in kept.get("PYTHONPATH", "").split(os.pathsep) if each]
        if str(_PACKAGES) not in (*searched, *site.getsitepackages()):
            kept["PYTHONPATH"] = os.pathsep.join((str(_PACKAGES), *searched))
        return {**kept, VARIABLE: json.dumps(said)}

    @property
    def descriptors(self) -> list[int]:
        """What must stay open in the worker."""
        return [self.line.fileno(), self.board]


def command() -> list[str]:
    """By the same interpreter, which is asked for the same. Never from the working directory (-P)."""
    flags = ["-I"] if sys.flags.isolated else ["-P"]
    return [sys.executable, *flags, *["-O"] * sys.flags.optimize, "-m", "guardian.workers.main"]


def handed(environment: MutableMapping[str, str]) -> Handing:
    """The same, in the worker; no child of it gets what is in it. Raises LookupError where nobody has started it."""
    found = json.loads(environment.pop(VARIABLE))
    line = socket.socket(fileno=found["line"])
    for descriptor in (found["line"], found["board"]):
        os.set_inheritable(descriptor, False)
    return Handing(
        number=found["number"], count=found["count"], file=Path(found["file"]), line=line, board=found["board"]
    )
