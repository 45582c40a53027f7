"""Counts instructions with callgrind: one run of `bench.counted`, cut into parts at its marks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

_PROGRAM: Final = Path(__file__).with_name("counted.py")
_TOTAL: Final = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)
_PER_CASE: Final = 4  # parts: what came before, one length, between, twice that length
_SETTINGS: Final = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")  # nothing else of the environment may change the run


class CannotCount(Exception):  # noqa: N818 - named for what it says
    """Why not, and what would help."""


def count(folder: Path, units: Mapping[str, int], *, sources: bool) -> dict[str, float]:
    """Instructions of one request for each case; ``units``: by the case's name, the length of its shorter run.

    ``folder`` gets callgrind's files. ``sources``: run the packages beside this one, not those that are installed.
    Raises CannotCount.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CannotCount("valgrind is not installed; on Debian: apt-get install valgrind")
    parts = folder / "part"
    command = [valgrind, "--tool=callgrind", "--dump-before=getpgid", f"--callgrind-out-file={parts}", sys.executable]
    command += ["-P", str(_PROGRAM), *(["--sources"] if sources else []), *units]
    environment = {name: os.environ[name] for name in _SETTINGS if name in os.environ}
    done = subprocess.run(  # noqa: S603 - of our own program
        command, env=environment | {"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CannotCount(f"the program that is counted ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return per_request([_total(path) for path in _in_order(parts)], units)


def per_request(totals: Sequence[int], units: Mapping[str, int]) -> dict[str, float]:
    """From instructions of each part to those of one request, what is done once for each run left out.

    Raises CannotCount.
    """
    if len(totals) != _PER_CASE * len(units):
        raise CannotCount(f"{_PER_CASE * len(units)} parts were expected, callgrind wrote {len(totals)}")
    return {
        name: (totals[_PER_CASE * number + 3] - totals[_PER_CASE * number + 1]) / unit
        for number, (name, unit) in enumerate(units.items())
    }


def _in_order(parts: Path) -> Iterator[Path]:
    """``part.1``, ``part.2`` and so on, written at the marks; ``part`` is what came after the last one."""
    yield from sorted(parts.parent.glob(f"{parts.name}.*"), key=lambda path: int(path.suffix[1:]))


def _total(path: Path) -> int:
    with path.open() as lines:
        for line in lines:
            found = _TOTAL.match(line)
            if found is not None:
                return int(found[1])
    raise CannotCount(f"{path.name} of callgrind has no sum")
