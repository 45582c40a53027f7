"""The policies that are compared: the product's own, and some that it does not have, behind the same interface."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import Final

from balancer.device import Device
from balancer.scheduler import Scheduler
from config.model import Policy

_MEMORY: Final = 10.0  # seconds after which an average has forgotten two thirds


class Name(enum.Enum):
    WORK = "work"
    COUNT = "count"
    EWMA = "ewma"
    TWO_CHOICES = "two choices"
    ROUND_ROBIN = "round robin"


PRODUCTS: Final = {
    Name.WORK: Policy.LEAST_OUTSTANDING,
    Name.COUNT: Policy.LEAST_OUTSTANDING_COUNT,
    Name.ROUND_ROBIN: Policy.ROUND_ROBIN,
}


class SeeingScheduler(Scheduler):
    """The product's own, which looks at what other workers have outstanding before it picks, where it is shown that."""

    def __init__(self, policy: Policy, slow_start: float) -> None:
        super().__init__(policy, slow_start)
        self.look: Callable[[Sequence[Device]], None] | None = None

    def pick(self, code: bytes, now: float, avoid: Collection[Device] = ()) -> Device | None:
        if self.look is not None:
            self.look(self.serving)
        return self.choose(code, now, avoid)

    def choose(self, code: bytes, now: float, avoid: Collection[Device]) -> Device | None:
        """The policy itself."""
        return super().pick(code, now, avoid)

    def answered(self, device: Device, seconds: float, now: float) -> None:
        """A device answered a request, after so many seconds."""


class LeastLatency(SeeingScheduler):
    """The smallest (outstanding + 1) x average latency over weight, as linkerd and Finagle do.

    One average for each device, whatever the command; it jumps up to each higher value and fades with time, so that a
    device that was slow is tried again.
    """

    def __init__(self, policy: Policy, slow_start: float) -> None:
        super().__init__(policy, slow_start)
        self._average: dict[Device, tuple[float, float]] = {}  # seconds, and when

    def answered(self, device: Device, seconds: float, now: float) -> None:
        average, then = self._average.get(device, (seconds, now))
        faded = math.exp((then - now) / _MEMORY)
        average = seconds if seconds > average else average * faded + seconds * (1.0 - faded)
        self._average[device] = (average, now)

    def choose(self, code: bytes, now: float, avoid: Collection[Device]) -> Device | None:
        best: Device | None = None
        least = math.inf
        for device in self.serving:
            if not device.has_room or device in avoid:
                continue
            average, then = self._average.get(device, (0.0, now))
            average *= math.exp((then - now) / _MEMORY)
            load = (device.outstanding + device.elsewhere + 1) * average / device.ramped_weight(now, self.slow_start)
            if load < least or (load == least and best is not None and device.turn < best.turn):
                best, least = device, load
        if best is not None:
            self._turn += 1
            best.turn = self._turn
        return best


class TwoChoices(SeeingScheduler):
    """Of two devices drawn by lot the one with less outstanding over its weight."""

    def __init__(self, policy: Policy, slow_start: float, random: Random) -> None:
        super().__init__(policy, slow_start)
        self._random = random

    def choose(self, code: bytes, now: float, avoid: Collection[Device]) -> Device | None:
        fit = [device for device in self.serving if device.has_room and device not in avoid]
        if len(fit) > 2:
            fit = self._random.sample(fit, 2)
        return min(
            fit,
            key=lambda device: (device.outstanding + device.elsewhere + 1) / device.ramped_weight(now, self.slow_start),
            default=None,
        )


def scheduler(name: Name, slow_start: float, random: Random) -> SeeingScheduler:
    """``slow_start``: seconds."""
    if name is Name.EWMA:
        return LeastLatency(Policy.LEAST_OUTSTANDING, slow_start)
    if name is Name.TWO_CHOICES:
        return TwoChoices(Policy.LEAST_OUTSTANDING, slow_start, random)
    return SeeingScheduler(PRODUCTS[name], slow_start)
