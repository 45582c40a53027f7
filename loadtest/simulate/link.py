"""A connection between a worker and a modelled device: what `balancer.transport.link.Link` is to an `Upstream`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from balancer.device import Device
from balancer.upstream import Upstream

from .device import ModelDevice
from .timeline import Timeline
from .workload import Kind

_CODE: Final = slice(3, 7)

Answered = Callable[[Device, float], None]  # a policy of this package hears what each answer took, seconds


class CountedUpstream(Upstream):
    """Sets of these go by number, so that a run is the same each time; by address they would not be."""

    __slots__ = ("number",)

    number: int

    def __hash__(self) -> int:
        return self.number


class ModelLink:
    """Everything that is written leaves at once."""

    def __init__(
        self, upstream: Upstream, far: ModelDevice, kinds: Mapping[bytes, Kind], timeline: Timeline, answered: Answered
    ) -> None:
        self.open = True
        self.queued = self.taken = self.touched = 0  # bytes
        self.busy_until = 0.0  # seconds: when the last answer leaves the device
        self._upstream = upstream
        self._far = far
        self._kinds = kinds
        self._timeline = timeline
        self._answered = answered
        far.connected(self)

    def write(self, data: bytes) -> None:
        self.queued += len(data)
        self.taken = self.touched = self.queued
        self._far.asked(self, self._kinds[data[_CODE]])

    def answered(self, answer: bytes) -> None:
        """The oldest request has its answer."""
        now = self._timeline.now
        upstream = self._upstream
        attempt = upstream.outstanding[0]
        if not attempt.exchange.is_ping:
            self._answered(upstream.device, now - attempt.sent_at)
        upstream.received(answer, now)

    def close(self) -> None:
        self.open = False
        self._far.closed(self)

    def lose(self, reason: str) -> None:
        """The device's doing."""
        if self.open:
            self.close()
            self._upstream.lost(reason)
