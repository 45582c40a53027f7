"""What workers share: limits of devices, clients, and one order of writes, also where one is killed amid a write."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.identity import DEFAULT_DIRECTORY
from loadtest.simhsm.journal import Outcome, Record
from loadtest.simhsm.key import ANY_USE, Key, KeyKind
from loadtest.simhsm.keytable import Slot
from loadtest.simhsm.latency import Constant
from tests.support.estate import client_tls, configuration, device_tls
from tests.support.excrypt_client import Closed, ExcryptClient
from tests.support.owners_of import connections
from tests.support.process import Running, running

NAMES = ("hsm1", "hsm2", "hsm3")
WORKERS = 3
MOST = 6  # connections to each device, and requests outstanding there
SECONDS = 0.1  # that a device takes for a request
GROUP = """
    ping: {request: "[AOECHO;AGping;]", interval: 1s, timeout: 1s, fall: 5, rise: 1}
    request_timeout: 30s
    queue: {size: 1024, timeout: 20s}
    retries: {attempts: 2, attempt_timeout: 20s, budget: 0.2}
    identity: {interval: 2s, timeout: 2s}
"""


@attrs.define
class Shared:
    proxy: Running
    devices: dict[str, SimulatedDevice]
    tls: ssl.SSLContext
    stop: bool = False
    told: set[bytes] = attrs.field(factory=set)  # writes that were answered with success
    other: list[bytes] = attrs.field(factory=list)  # other answers to writes
    lost: int = 0  # connections
    most: int = 0  # requests that any device had at once, pings left out

    @property
    def pids(self) -> dict[int, int]:
        return {
            line["worker"]: line["pid"]  # type: ignore[misc]
            for line in self.proxy.lines
            if line.get("event") == "a worker serves"
        }

    @property
    def deaths(self) -> int:
        return sum(line.get("event") == "a worker has ended, another is started" for line in self.proxy.lines)

    def clients_by_worker(self) -> list[int]:
        port = self.proxy.address[1]
        return [sum(ours == port for ours, _ in connections(pid)) for pid in self.pids.values()]

    async def client(self, number: int, *, writes: bool) -> None:
        """Asks one thing after the other; connects anew where its worker was killed."""
        count = 0
        while not self.stop:
            try:
                client = await ExcryptClient.connect(self.proxy.address, self.tls)
            except (Closed, OSError):
                self.lost += 1
                await trio.sleep(0.05)
                continue
            try:
                while not self.stop:
                    count += 1
                    await self._ask(client, b"%d-%d" % (number, count), writes=writes)
            except Closed:
                self.lost += 1
            finally:
                client.close()

    async def _ask(self, client: ExcryptClient, mark: bytes, *, writes: bool) -> None:
        if not writes:
            request = b"[AOECHO;AG%b;]" % mark
            answer = await client.request(request)
            assert answer == request or b"AM902" in answer, answer
            return
        request = b"[AOGPKS;AG%b;BD4;LA%b;]" % (mark, mark)
        answer = await client.request(request)
        if answer.startswith(b"[AOGPKS;"):
            self.told.add(request)
        else:
            self.other.append(answer)
            await trio.sleep(0.05)

    async def watch(self) -> None:
        """How much of clients devices have outstanding, each of whose requests has AG: more often than one takes."""
        while True:
            for device in self.devices.values():
                recent = list(device.journal.records)[-5 * MOST :]
                now = sum(
                    record.outcome is Outcome.ARRIVED and b"AG" in record.request and b"AGping" not in record.request
                    for record in recent
                )
                self.most = max(self.most, now)
            await trio.sleep(SECONDS / 6)

    async def amid_a_write(self) -> int:
        """The process whose write the primary is working on; waits for one."""
        primary = self.devices["hsm1"]
        with trio.fail_after(30):
            while True:
                for record in self._working_on(primary):
                    port = next(
                        (
                            link.stream._sock.getpeername()[1]
                            for link in primary._open
                            if link.number == record.connection and link.stream._sock.fileno() >= 0
                        ),
                        None,
                    )
                    for pid in self.pids.values():
                        if any(ours == port for ours, _ in connections(pid)):
                            return pid
                await trio.sleep(0.002)

    @staticmethod
    def _working_on(device: SimulatedDevice) -> list[Record]:
        recent = list(device.journal.records)[-20:]
        return [record for record in recent if record.code == "GPKS" and record.outcome is Outcome.ARRIVED]

    def orders(self) -> dict[str, list[bytes]]:
        return {
            name: [record.request for record in device.journal.executed("GPKS")]
            for name, device in self.devices.items()
        }


@asynccontextmanager
async def shared(pki: PkiFiles, folder: Path, *, seconds: float) -> AsyncIterator[Shared]:
    devices = {
        name: SimulatedDevice(
            name,
            tls=device_tls(pki, name),
            directory=DEFAULT_DIRECTORY.open_to_all(),
            latency=Constant(seconds),
        )
        for name in NAMES
    }
    group = GROUP + f"    writes: {{journal: {folder / 'writes.journal'}}}\n"
    async with trio.open_nursery() as nursery:
        entries = {}
        for number, (name, device) in enumerate(devices.items()):
            device.hsm.table.put(Slot(Key(KeyKind.AES, bytes(32), ANY_USE), "old"), 4)
            await nursery.start(device.serve)
            role = "production" if number else "primary"
            bounds = f"connections: {MOST}, outstanding: {MOST}"
            entries[name] = f'address: "127.0.0.1:{device.port}", role: {role}, {bounds}'
        path = folder / "guardian.yaml"
        path.write_text(configuration(pki, entries, group=group) + f"workers: {WORKERS}\n")
        async with running(path) as proxy:
            yield Shared(proxy, devices, client_tls(pki, "vault-1"))
        nursery.cancel_scope.cancel()


def check(serving: Shared, kills: int) -> None:
    """At most once on each device, in one order on all; whoever has not all of it lacks only what was in doubt."""
    orders = serving.orders()
    for name, order in orders.items():
        assert len(set(order)) == len(order), f"{name} ran a write twice"
    for name, order in orders.items():
        for other, another in orders.items():
            ours, theirs = (
                [each for each in one if each in of] for one, of in ((order, set(another)), (another, set(order)))
            )
            assert ours == theirs, f"{name} and {other} ran writes in two orders"
    most = max(orders.values(), key=len)
    assert serving.told <= set(most)
    # Who was lost a write in the middle of it serves nothing until it is shown equal; all others have everything.
    assert sum(set(order) >= serving.told for order in orders.values()) >= (len(NAMES) if not kills else 1)


@pytest.mark.timeout(300)
async def test_workers_write_in_one_order_and_one_that_is_killed_amid_a_write_leaves_it_in_doubt(
    pki: PkiFiles, tmp_path: Path
) -> None:
    async with shared(pki, tmp_path, seconds=0.02) as serving, trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(partial(serving.client, number, writes=True))
        with trio.fail_after(60):
            while len(serving.told) < 8:
                await trio.sleep(0.02)
        assert min(serving.clients_by_worker()) >= 1, "every worker writes"
        check(serving, 0)
        assert serving.other == []
        os.kill(await serving.amid_a_write(), signal.SIGKILL)
        with trio.fail_after(60):
            while serving.deaths < 1 or len(serving.pids) < WORKERS:
                await trio.sleep(0.02)
        told = len(serving.told)
        with trio.fail_after(60):  # they go on by themselves: whoever has all of it is shown equal to itself
            while len(serving.told) < told + 4:
                await trio.sleep(0.02)
        serving.stop = True
    check(serving, 1)
    assert all(b"AM90" in answer for answer in serving.other), serving.other[:5]


@pytest.mark.timeout(300)
async def test_a_devices_limits_hold_for_all_workers_together_and_clients_are_spread(
    pki: PkiFiles, tmp_path: Path
) -> None:
    async with shared(pki, tmp_path, seconds=SECONDS) as serving, trio.open_nursery() as nursery:
        nursery.start_soon(serving.watch)
        for number in range(48):
            nursery.start_soon(partial(serving.client, number, writes=False))
        with trio.fail_after(60):
            while sum(serving.clients_by_worker()) < 48:
                await trio.sleep(0.02)
        spread = serving.clients_by_worker()
        assert max(spread) <= 16 * 1.3 + 2, spread
        with trio.fail_after(60):
            while min(len(device.journal.of("ECHO")) for device in serving.devices.values()) < 60:
                await trio.sleep(0.02)
        assert serving.most == MOST
        for device in serving.devices.values():
            assert device.connections <= MOST + WORKERS, "and for each worker one that is tried with a ping"
        serving.stop = True
        nursery.cancel_scope.cancel()
