"""What workers know of each other: nothing, or what each has outstanding on each device, at once or some time ago."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from balancer.device import Device

from .timeline import Timeline

AT_ONCE: Final = 0.0


class Board:
    """One slot for each worker and device, as in the memory that real workers share (`guardian.workers.board`)."""

    def __init__(self, delay: float, timeline: Timeline, workers: Sequence[Sequence[Device]]) -> None:
        """``delay``: seconds from one publication to the next; 0: see `look`. ``workers``: the devices of each."""
        self._timeline = timeline
        self._delay = delay
        self._columns = list(zip(*workers, strict=True))  # one modelled device, as each of the workers has it
        self._column = {device: column for column in self._columns for device in column}
        if delay:
            self._publish()

    def look(self, devices: Sequence[Device]) -> None:
        """Show one worker what the others have outstanding now."""
        for device in devices:
            column = self._column[device]
            outstanding, work = 0, 0.0
            for each in column:
                outstanding += each.outstanding
                work += each.work - each.work_elsewhere
            _show(device, outstanding, work)

    def _publish(self) -> None:
        for column in self._columns:
            outstanding = sum(each.outstanding for each in column)
            work = sum(each.work - each.work_elsewhere for each in column)
            for each in column:
                _show(each, outstanding, work)
        self._timeline.after(self._delay, self._publish)


def _show(device: Device, outstanding: int, work: float) -> None:
    """Of all workers together, this one's own included."""
    mine = device.work - device.work_elsewhere
    device.elsewhere = outstanding - device.outstanding
    device.work_elsewhere = max(work - mine, 0.0)
    device.work = mine + device.work_elsewhere
