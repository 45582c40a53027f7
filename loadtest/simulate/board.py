"""What workers know of each other: nothing, or what each has outstanding on each device, at once or some time ago."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from balancer.device import Device

from .policies import Sight
from .timeline import Timeline

AT_ONCE: Final = 0.0


class Board:
    """One slot for each worker and device, as in the memory that real workers share."""

    def __init__(self, delay: float, timeline: Timeline, workers: Sequence[Sequence[Device]]) -> None:
        """``delay``: seconds from one publication to the next; 0 shows what is so now. ``workers``: their devices."""
        self._timeline = timeline
        self._delay = delay
        self._columns = list(zip(*workers, strict=True))  # one modelled device, as each of the workers has it
        self._number = {device: number for number, column in enumerate(self._columns) for device in column}
        self._published: dict[Device, tuple[int, float]] = dict.fromkeys(self._number, (0, 0.0))
        self._sums = [(0, 0.0)] * len(self._columns)
        if delay:
            self._publish()

    @property
    def sight(self) -> Sight:
        return self._now if not self._delay else self._lately

    def _now(self, device: Device) -> tuple[int, float]:
        column = self._columns[self._number[device]]
        outstanding = -device.outstanding
        work = -device.work
        for each in column:
            outstanding += each.outstanding
            work += each.work
        return outstanding, max(work, 0.0)

    def _lately(self, device: Device) -> tuple[int, float]:
        outstanding, work = self._sums[self._number[device]]
        own, own_work = self._published[device]
        return outstanding - own, max(work - own_work, 0.0)

    def _publish(self) -> None:
        for number, column in enumerate(self._columns):
            for device in column:
                self._published[device] = (device.outstanding, device.work)
            published = [self._published[device] for device in column]
            self._sums[number] = (sum(each[0] for each in published), sum(each[1] for each in published))
        self._timeline.after(self._delay, self._publish)
