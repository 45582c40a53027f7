"""The `guardian` command, as a user has it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from .contenders import NotInstalledError


def find_guardian() -> Path:
    """The command of the environment that runs us. Raises NotInstalledError."""
    beside = Path(sys.executable).with_name("guardian")
    if beside.exists():
        return beside
    found = shutil.which("guardian")
    if found is None:
        raise NotInstalledError("the guardian command is not installed: run make setup")
    return Path(found)
