"""Devices of one scenario, and the contenders before them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from loadtest.native.programs import Programs

from .contenders import Contender
from .haproxy import start_haproxy
from .measure import Bench
from .nginx import start_nginx
from .ours import DeviceUse, Extras, start_guardian
from .pki import Pki
from .processes import Processes, Program

DEVICE_TIMEOUT: Final = 10.0


@attrs.frozen(kw_only=True)
class Stage:
    processes: Processes
    folder: Path
    programs: Programs
    pki: Pki
    devices: Sequence[Program]
    addresses: Sequence[str]  # of the devices

    @property
    def bench(self) -> Bench:
        return Bench(
            processes=self.processes,
            closed_loop=self.programs.closed_loop,
            client=self.pki.client,
            devices=self.devices,
        )

    def haproxy(self, *, threads: int = 1, tickets: bool = False) -> Contender:
        return start_haproxy(self.processes, self.folder, self.pki, self.addresses, threads=threads, tickets=tickets)

    def nginx(self, *, workers: int = 1, tickets: bool = False) -> Contender:
        return start_nginx(self.processes, self.folder, self.pki, self.addresses, workers=workers, tickets=tickets)

    def guardian(
        self,
        pipeline: int = 1,
        *,
        workers: int = 1,
        name: str = "",
        command: Sequence[str | Path] = (),
        extras: Extras | None = None,
        connections: int = 0,
    ) -> Contender:
        """``connections``: to each device; 0: as many as `DeviceUse.of` says."""
        use = DeviceUse.of(pipeline, connections)
        return start_guardian(
            self.processes,
            self.folder,
            self.pki,
            self.addresses,
            use,
            workers=workers,
            name=name,
            command=command,
            extras=extras,
        )

    def others(self, *, threads: int = 1, tickets: bool = False) -> list[Contender]:
        """HAProxy and nginx."""
        return [self.haproxy(threads=threads, tickets=tickets), self.nginx(workers=threads, tickets=tickets)]


def open_stage(
    processes: Processes, folder: Path, programs: Programs, pki: Pki, devices: Sequence[Sequence[str]]
) -> Stage:
    """Start a device for each set of options of echo_device. Raises ProgramError."""
    started = [
        processes.start(f"device {i}", [programs.echo_device, *pki.device.options(), *options])
        for i, options in enumerate(devices, 1)
    ]
    addresses = [device.first_line(timeout=DEVICE_TIMEOUT) for device in started]
    return Stage(processes=processes, folder=folder, programs=programs, pki=pki, devices=started, addresses=addresses)
