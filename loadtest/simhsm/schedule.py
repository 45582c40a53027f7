"""Faults at fixed times."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import trio

from .faults import Faulty
from .keytable import KeyTable

if TYPE_CHECKING:
    from .device import SimulatedDevice


class Action(enum.Enum):
    FAULT = "fault"  # set the fault, and after the time it lasts take it away
    KILL = "kill"  # and after the time it lasts come back with all keys
    RESTART = "restart"  # with all keys
    RESTART_EMPTY = "restart_empty"  # with an empty key table
    SNAPSHOT = "snapshot"  # remember the key table
    RESTART_OLD = "restart_old"  # with the key table of the last snapshot, or the empty one of the beginning


@attrs.define
class Snapshot:
    """The key table that RESTART_OLD brings back."""

    keys: KeyTable


@attrs.frozen
class Event:
    start: float  # seconds after the device is ready
    lasting: float | None  # seconds; None is for ever
    action: Action
    fault: Faulty | None = None


async def follow(device: SimulatedDevice, events: Sequence[Event]) -> None:
    """Let every event happen at its time. Of two faults at once the later one counts, also when it ends."""
    began = trio.current_time()
    old = Snapshot(device.hsm.table.copy())
    async with trio.open_nursery() as nursery:
        for event in events:
            nursery.start_soon(_happen, device, event, began, old)


async def _happen(device: SimulatedDevice, event: Event, began: float, old: Snapshot) -> None:
    await trio.sleep_until(began + event.start)
    match event.action:
        case Action.FAULT:
            device.fault = event.fault
        case Action.KILL:
            await device.kill()
        case Action.RESTART | Action.RESTART_EMPTY:
            await device.restart(empty_keys=event.action is Action.RESTART_EMPTY)
        case Action.SNAPSHOT:
            old.keys = device.hsm.table.copy()
        case Action.RESTART_OLD:
            await device.restart(keys=old.keys)
    if event.lasting is None:
        return
    await trio.sleep_until(began + event.start + event.lasting)
    if event.action is Action.FAULT and device.fault is event.fault:
        device.fault = None
    elif event.action is Action.KILL:
        await device.restart()
