"""What becomes of the devices while the traffic runs, as the proxy's status tells it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import attrs
import trio

from .admin import Admin, DeviceState, NoAnswer
from .configuration import BACKUP, GROUP, VICTIM

_EVERY: Final = 0.05  # seconds: as exact as the times of the summary are


@attrs.define(eq=False)
class Watch:
    """Follows the status and keeps the moments of the failover, in seconds of time.monotonic()."""

    _admin: Admin
    _say: Callable[[str, str], None]
    devices: dict[str, DeviceState] = attrs.field(factory=dict, init=False)
    killed: float | None = attrs.field(default=None, init=False)
    restarted: float | None = attrs.field(default=None, init=False)
    took_over: float | None = attrs.field(default=None, init=False)  # the backup, after the kill
    returned: float | None = attrs.field(default=None, init=False)  # the victim, after its restart
    rested: float | None = attrs.field(default=None, init=False)  # the backup, after that

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with suppress(NoAnswer):
                self._look(await self._admin.devices(GROUP), time.monotonic())
            await trio.sleep(_EVERY)

    def _look(self, devices: dict[str, DeviceState], now: float) -> None:
        for name, device in devices.items():
            before = self.devices.get(name)
            if before is None or before.in_service == device.in_service:
                continue
            self._say(f"{name} {_said(device)}", "good" if device.in_service else "")
            if name == BACKUP and device.in_service and self.killed is not None:
                self.took_over = self.took_over or now
            if name == BACKUP and not device.in_service and self.restarted is not None:
                self.rested = self.rested or now
            if name == VICTIM and device.in_service and self.restarted is not None:
                self.returned = self.returned or now
        self.devices = devices


def _said(device: DeviceState) -> str:
    if device.name == BACKUP:
        return "(backup) serves" if device.in_service else "(backup) rests"
    return "serves" if device.in_service else f"serves no more: it is {device.health}"
