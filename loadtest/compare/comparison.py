"""The order of things: start everything, then A B A B, then end everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from loadtest.native.programs import Load, Programs

from .contenders import Contender, direct
from .figures import Measurement
from .haproxy import start_haproxy
from .measure import Bench, measure
from .ours import DeviceUse, start_guardian
from .pki import Pki, make_pki
from .processes import Processes, Program

DEVICE_TIMEOUT: Final = 10.0


@attrs.frozen(kw_only=True)
class Plan:
    clients: Sequence[int]  # a table for each
    rounds: int
    load: Load  # addresses and clients are filled in for each run
    devices: int
    device_delay: int  # microseconds
    direct: bool
    haproxy: bool
    uses: Sequence[DeviceUse]  # ours, once for each

    def facts(self) -> dict[str, object]:
        """For the report: what was asked."""
        return attrs.asdict(self)


def _start_devices(processes: Processes, plan: Plan, programs: Programs, pki: Pki) -> tuple[list[Program], list[str]]:
    command: list[str | Path] = [programs.echo_device, *pki.device.options(), "--delay", str(plan.device_delay)]
    devices = [processes.start(f"device {i}", command) for i in range(1, plan.devices + 1)]
    return devices, [device.first_line(timeout=DEVICE_TIMEOUT) for device in devices]


def _start_contenders(
    processes: Processes, plan: Plan, folder: Path, pki: Pki, addresses: Sequence[str]
) -> Iterator[Contender]:
    if plan.direct:
        yield direct(addresses)
    if plan.haproxy:
        yield start_haproxy(processes, folder, pki, addresses)
    for use in plan.uses:
        yield start_guardian(processes, folder, pki, addresses, use)


def compare(plan: Plan, programs: Programs, folder: Path, *, progress: Callable[[str], None]) -> list[Measurement]:
    """Measure as planned; `folder` takes files of the run. Every program started is ended on every way out.

    Raises NotInstalledError, ProgramError, LoadError.
    """
    measurements = []
    pki = make_pki(folder / "pki")
    with Processes(folder) as processes:
        devices, addresses = _start_devices(processes, plan, programs, pki)
        bench = Bench(processes=processes, closed_loop=programs.closed_loop, client=pki.client, devices=devices)
        contenders = list(_start_contenders(processes, plan, folder, pki, addresses))
        for clients in plan.clients:
            for turn in range(1, plan.rounds + 1):
                load = attrs.evolve(plan.load, clients=clients, seed=turn)
                for contender in contenders:
                    measurement = measure(bench, contender, load, turn=turn)
                    measurements.append(measurement)
                    progress(_line(measurement, plan.rounds))
    return measurements


def _line(measurement: Measurement, rounds: int) -> str:
    cost = "" if measurement.cost is None else f", {measurement.cost:.1f} µs/request"
    return (
        f"{measurement.clients} clients, round {measurement.round} of {rounds}, {measurement.contender}: "
        f"{measurement.rate:,.0f} requests/s{cost}{'' if measurement.clean else ', NOT CLEAN'}"
    )
