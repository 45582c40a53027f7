"""A start lets clients in when devices were looked at once: who waits in a socket would be told that there is none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import trio

from balancer.device import Device
from balancer.group import Group
from balancer.snapshot import Will
from health.state import Health

_WITHIN: Final = 2.0  # seconds: a device that does not answer is in doubt after its ping's timeout, mostly sooner
_LOOK_EVERY: Final = 0.01


async def first_look(groups: Iterable[Group], within: float = _WITHIN) -> None:
    """Returns when of each device that is wanted something is known, good or bad, or the time (seconds) is over."""
    with trio.move_on_after(within):
        while any(_unseen(device) for group in groups for device in group.devices):
            await trio.sleep(_LOOK_EVERY)


def _unseen(device: Device) -> bool:
    unknown = device.health is Health.UNKNOWN and not device.tracker.suspect
    return unknown and device.will is Will.READY and not device.leaving
