"""The proxy before two emulated devices, with clients that never stop asking, in a thread of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from balancer.snapshot import DeviceSnapshot
from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.latency import Constant, PerCommand
from tests.support.estate import Estate, device_tls, estate
from tests.support.watched import Watched, watched

PATIENCE: Final = 20.0  # seconds: the machine may be busy


@attrs.define(eq=False)
class Real:
    here: Watched
    estate: Estate

    def answer_after(self, name: str, seconds: float) -> None:
        """Requests of clients; pings stay quick."""
        workload = self.estate.devices[name].workload
        self.here.call(lambda: setattr(workload, "latency", PerCommand({"RAND": Constant(seconds)}, Constant(0.002))))

    def until(self, holds: Callable[[], bool]) -> None:
        async def wait() -> None:
            with trio.fail_after(PATIENCE):
                while not holds():
                    await trio.sleep(0.01)

        self.here.run(wait)

    def device(self, name: str) -> DeviceSnapshot:
        return self.here.call(self.estate.device, name)


@contextmanager
def busy_estate(pki: PkiFiles, folder: Path) -> Iterator[Real]:
    estates: list[Estate] = []

    async def ask(number: int, running: Estate) -> None:
        client = await running.client()
        for count in itertools.count():
            await client.request(b"[AORAND;AG%d-%d;BL8;]" % (number, count))
            await trio.sleep(0.01)

    async def held(task_status: trio.TaskStatus[Estate]) -> None:
        names = ("hsm1", "hsm2")
        devices = {name: SimulatedDevice(name, tls=device_tls(pki, name), latency=Constant(0.005)) for name in names}
        async with estate(pki, folder, devices) as running, trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(ask, number, running)
            task_status.started(running)
            await trio.sleep_forever()

    async def start(nursery: trio.Nursery) -> Any:
        running = await nursery.start(held)
        estates.append(running)
        return running.proxy

    with watched(start) as here:
        yield Real(here, estates[0])
