"""Where a command of an operator's finds the keys of the service that systemd runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_VARIABLE: Final = "CREDENTIALS_DIRECTORY"
_OF_THE_SERVICE: Final = Path("/run/credentials/guardian.service")


def environment(of_the_service: Path = _OF_THE_SERVICE) -> Mapping[str, str]:
    """Ours. Where it names no credentials: with those of the service, while it runs and for who may read them.

    They are what a reload would read.
    """
    if _VARIABLE in os.environ or not os.access(of_the_service, os.R_OK | os.X_OK):
        return os.environ
    return {**os.environ, _VARIABLE: str(of_the_service)}
