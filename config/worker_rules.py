"""Whether what several workers share out is enough for each of them."""

from __future__ import annotations

from typing import Any, Final

from .problems import Report
from .structure import Draft

_OF_A_DEVICE: Final = ("connections", "outstanding", "private")


def check(config: Draft, report: Report) -> None:
    """A limit below the number of workers is not kept: each takes one at least. Silent where that number is `auto`."""
    workers = config.values.get("workers")
    if not isinstance(workers, int):
        return
    for listener in config.sections("listeners"):
        if listener.known("limits"):
            _enough(listener.values["limits"], "connections", workers, report)
    for group in config.sections("groups"):
        for device in group.sections("devices"):
            for field in _OF_A_DEVICE:
                _enough(device, field, workers, report)


def _enough(section: Draft, field: str, workers: int, report: Report) -> None:
    most: Any = section.values.get(field)
    if isinstance(most, int) and 0 < most < workers:
        report.warn(
            section.at(field), f"is {most}, must be at least {workers} to be kept by {workers} workers: each takes one"
        )
