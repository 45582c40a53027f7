"""One request that stands for a bucket or a count: who sent it, which device had it, and its number. Pure.

Nothing of what the request said. Why it is kept this way: a command's slowest request is noted by one comparison as its
answer is delivered, and becomes an exemplar only when the histograms are folded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from .command import GroupCommand
    from .histogram import Histogram


@attrs.frozen(kw_only=True)
class Exemplar:
    value: float  # seconds; 1 for a count
    at: float  # when its answer was delivered: seconds of the reactor's clock, in a snapshot Unix time
    client: str  # Common Name of its certificate; empty where it showed none
    device: str  # empty where no device had it
    command: str
    outcome: str
    completion: int  # counted by the group, as completions are shown elsewhere

    def moved(self, seconds: float) -> Exemplar:
        return self._but(self.value, self.at + seconds)

    def of(self, value: float) -> Exemplar:
        """The same request, in a histogram of something else."""
        return self._but(value, self.at)

    def _but(self, value: float, at: float) -> Exemplar:  # many a second; `attrs.evolve` takes twice as long
        return Exemplar(
            value=value,
            at=at,
            client=self.client,
            device=self.device,
            command=self.command,
            outcome=self.outcome,
            completion=self.completion,
        )


def show_slowest(command: GroupCommand, proxy: Histogram) -> None:
    """Make an exemplar of the slowest request since the last call: of its command, its device, and the proxy's share.

    Lets go of the request, whose bytes must not stay. ``proxy``: the group's histogram of the proxy's own time.
    """
    count = command.count
    exchange, seconds = count.slow, count.slowest
    count.slow = None
    count.slowest = -1.0
    if exchange is None:
        return
    device = exchange.device
    exemplar = Exemplar(
        value=seconds,
        at=exchange.arrived + seconds,
        client=count.slow_client,
        device="" if device is None else device.name,
        command=command.label,
        outcome=exchange.outcome.value,
        completion=count.slow_number,
    )
    count.duration.show(exemplar)
    proxy.show(exemplar.of(seconds - exchange.device_seconds))
    if device is not None and exchange.device_seconds and not command.is_write:  # a write's time is that of several
        device.duration.show(exemplar.of(exchange.device_seconds))
