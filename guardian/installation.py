"""What is installed: which version, and whether its data path was compiled (docs/adr/0005-compiled-data-path.md)."""

from __future__ import annotations

import functools
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from importlib.util import find_spec
from typing import Final

_COMPILED: Final = "balancer.cost"  # of the modules that are compiled; all are, or none, since they share a library


def version() -> str | None:
    """None where the sources run without having been installed."""
    try:
        return version_of("guardian-hsm")
    except PackageNotFoundError:
        return None


@functools.cache
def data_path() -> str:
    """``compiled`` or ``interpreted``: what this process runs."""
    spec = find_spec(_COMPILED)
    origin = "" if spec is None else spec.origin or ""
    return "compiled" if origin.endswith(tuple(EXTENSION_SUFFIXES)) else "interpreted"
