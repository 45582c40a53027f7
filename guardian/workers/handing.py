"""How a worker is started: its descriptors, and the one variable of the environment that says which."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Final

import attrs

from guardian.processes import environment

VARIABLE: Final = "GUARDIAN_WORKER"


@attrs.frozen(kw_only=True)
class Handing:
    """What a worker is given at its start; the rest comes over the line."""

    number: int  # from 1
    count: int  # of all workers
    file: Path  # of the configuration: for its messages, and what relative paths are relative to
    line: socket.socket  # for `Channel`
    board: int  # a descriptor

    def environment(self, ours: Mapping[str, str]) -> dict[str, str]:
        """That of the worker."""
        said = {
            "number": self.number,
            "count": self.count,
            "file": str(self.file),
            "line": self.line.fileno(),
            "board": self.board,
        }
        return {**environment(ours), VARIABLE: json.dumps(said)}

    @property
    def descriptors(self) -> list[int]:
        """What must stay open in the worker."""
        return [self.line.fileno(), self.board]


def handed(variables: MutableMapping[str, str]) -> Handing:
    """The same, in the worker; no child of it gets what is in it. Raises LookupError where nobody has started it."""
    found = json.loads(variables.pop(VARIABLE))
    line = socket.socket(fileno=found["line"])
    for descriptor in (found["line"], found["board"]):
        os.set_inheritable(descriptor, False)
    return Handing(
        number=found["number"], count=found["count"], file=Path(found["file"]), line=line, board=found["board"]
    )
