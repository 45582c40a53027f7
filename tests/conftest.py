"""What all tests share: examples have no deadline each, since a busy machine is no fault of the code."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent

# `tests.support` must be found, even where PYTHONSAFEPATH keeps this folder out; last, so that what is installed is
# then what is tested.
sys.path.append(str(HERE.parent))

settings.register_profile("guardian", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("guardian")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Where several processes collect all tests, each begins elsewhere: what one has compiled the others only read.

    Compiling is three quarters of collecting, since asserts are rewritten. What fails here fails again when collected.
    """
    number, count = (os.environ.get(f"PYTEST_XDIST_WORKER{what}") for what in ("", "_COUNT"))
    if number is None or count is None or [Path(arg) for arg in session.config.args] not in ([HERE], [Path("tests")]):
        return
    files = sorted(path.relative_to(HERE.parent) for path in HERE.rglob("test_*.py"))
    start = len(files) * int(number.removeprefix("gw")) // int(count)
    with warnings.catch_warnings(action="error"):
        for path in files[start:] + files[:start]:
            with suppress(Exception, pytest.skip.Exception):
                importlib.import_module(".".join(path.with_suffix("").parts))
