"""Many cells, on as many cores as may be used."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from time import process_time

import attrs

from .cell import Cell, Result, simulate

Progress = Callable[[int, int, float], None]  # done, of how many, CPU seconds until now


@attrs.frozen
class _Timed:
    result: Result
    seconds: float  # of CPU


def _run(cell: Cell) -> _Timed:
    started = process_time()
    result = simulate(cell)
    return _Timed(result, process_time() - started)


def _quietly() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us is interrupted too, and ends us


def sweep(cells: Sequence[Cell], jobs: int, progress: Progress) -> tuple[list[Result], float]:
    """The results in the order of the cells, and the CPU seconds that they took together."""
    found: list[Result] = []
    seconds = 0.0
    with ProcessPoolExecutor(max_workers=jobs, initializer=_quietly) as pool:
        try:
            for timed in pool.map(_run, cells):
                found.append(timed.result)
                seconds += timed.seconds
                progress(len(found), len(cells), seconds)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True, wait=False)
            raise
    return found, seconds
