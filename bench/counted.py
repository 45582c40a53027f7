"""The program that is counted: runs each case for one length and for twice that, and marks where a run begins and ends.

Run by `bench.counting` under callgrind, which writes its counts down at each mark: a call of getpgid, which nothing
else here makes. ``--sources`` takes our packages from the folder of this one rather than from where they are installed.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parent.parent)
_WARMED = 2  # times the unit: until every cache has what it needs


def main(arguments: list[str]) -> None:
    if "--sources" in arguments:
        sys.path.insert(0, _ROOT)
    else:
        sys.path.append(_ROOT)
    from bench.cases import CASES  # noqa: PLC0415 - only now it is known from where

    wanted = [case for case in CASES if case.name in arguments] or CASES
    for case in wanted:
        run, close = case.make()
        run(_WARMED * case.unit)
        for length in (1, 2):
            gc.collect()
            gc.freeze()
            _mark()
            run(length * case.unit)
            _mark()
        close()


def _mark() -> None:
    os.getpgid(0)


if __name__ == "__main__":
    main(sys.argv[1:])
