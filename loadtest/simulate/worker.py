"""One process of the proxy: the product's group with its devices, deadlines and health, before modelled devices."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from balancer.command import CommandTable
from balancer.deadlines import Deadlines
from balancer.device import Device
from balancer.group import Group
from config import model
from config.catalogue import load_catalogue
from config.model import Role
from health.tracker import HealthTracker

from .device import ModelDevice
from .keeper import ModelKeeper
from .policies import PRODUCTS, Name, scheduler
from .timeline import Timeline
from .workload import Kind

_BOUNDS: Final = (0.001, 0.01, 0.1, 1.0)
_OUTSTANDING: Final = 32  # on a device, of all workers together, as the product has it by default
_CATALOGUE: Final = load_catalogue()[0]


def settings(policy: Name, devices: Sequence[ModelDevice], workers: int, connections: int) -> model.Group:
    """What every worker is given: the defaults of the product, and its portion of what is shared out.

    ``connections``: to each device, of all workers together; each has at least one.
    """
    own = max(connections // workers, 1)
    each = []
    for number, device in enumerate(devices, 1):
        character = device.character
        each.append(
            model.Device(
                name=f"hsm{number}",
                address=model.Bind(host="127.0.0.1", port=9000 + number),
                role=Role.PRIMARY if number == 1 else Role.PRODUCTION,
                connections=own,
                outstanding=max(_OUTSTANDING // workers, own),
                rate=character.rate / workers if character.licensed else None,
            )
        )
    balancing = model.Balancing(policy=PRODUCTS.get(policy, model.Policy.LEAST_OUTSTANDING))
    return model.Group(name="payments", devices=tuple(each), balancing=balancing)


class Worker:
    """Submit to `group`. ``random`` is its own."""

    def __init__(
        self,
        policy: Name,
        group: model.Group,
        far: Sequence[ModelDevice],
        kinds: Sequence[Kind],
        timeline: Timeline,
        random: Random,
    ) -> None:
        self._timeline = timeline
        self.events: dict[str, int] = {}  # what the group told, by its name
        self.scheduler = scheduler(policy, group.slow_start, random)
        table = CommandTable(_CATALOGUE, _BOUNDS)
        self.group = Group(group, table, _BOUNDS, timeline.clock, self._tell, self.scheduler)
        by_code = {kind.code: kind for kind in kinds}
        for device_settings, device in zip(group.devices, far, strict=True):
            known = Device(device_settings, HealthTracker(group.ping, group.ejection, random), _BOUNDS)
            self.group.devices.append(known)
            ModelKeeper(self.group, known, device, timeline, random, self._answered, by_code)
        self._deadlines = Deadlines(self.group, timeline.now)
        timeline.after(random.uniform(0.0, 0.02), self._look)

    @property
    def ejections(self) -> int:
        return sum(sum(device.tracker.ejections.values()) for device in self.group.devices)

    def _look(self) -> None:
        self._timeline.after(self._deadlines.look(self._timeline.now), self._look)

    def _answered(self, device: Device, seconds: float) -> None:
        self.scheduler.answered(device, seconds, self._timeline.now)

    def _tell(self, event: str, **facts: object) -> None:
        name = f"{event}: {facts['health']}" if "health" in facts else event
        self.events[name] = self.events.get(name, 0) + 1
