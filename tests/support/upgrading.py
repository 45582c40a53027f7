"""Clients that must not notice that processes behind their address come and go, and what devices ran in the end."""

from __future__ import annotations

import os
import signal
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

from guardian.pki import PkiFiles, make_pki
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.identity import DEFAULT_DIRECTORY
from loadtest.simhsm.key import ANY_USE, Key, KeyKind
from loadtest.simhsm.keytable import Slot

from .estate import client_tls, configuration, device_tls
from .excrypt_client import Closed, ExcryptClient
from .process import Running, running

NAMES = ("hsm1", "hsm2", "hsm3")
# A busy machine is no fault of a device.
PATIENT = """
    ping: {request: "[AOECHO;AGping;]", interval: 2s, timeout: 2s, fall: 3, rise: 1}
    request_timeout: 30s
    queue: {size: 1024, timeout: 20s}
    retries: {attempts: 2, attempt_timeout: 20s, budget: 0.2}
    identity: {probes: []}
"""


@attrs.define(eq=False)
class Load:
    """Clients; `wrong` holds every answer that is not the right one, and every connect that failed."""

    address: tuple[str, int]
    tls: ssl.SSLContext
    stop: bool = False
    wrong: list[str] = attrs.field(factory=list)
    written: list[bytes] = attrs.field(factory=list)  # requests that were answered with success
    answered: int = 0
    connects: int = 0

    async def client(self, number: int, life: int) -> None:
        """``life``: requests of a connection; then the next one."""
        count = 0
        while not self.stop:
            try:
                connection = await ExcryptClient.connect(self.address, self.tls)
            except (Closed, OSError) as exc:
                self.wrong.append(f"client {number}: no connection: {exc!r}")
                return
            self.connects += 1
            try:
                for _ in range(life):
                    if self.stop:
                        break
                    count += 1
                    await self._ask(connection, number, count)
                    await trio.sleep(0.02)
            except Closed:
                self.wrong.append(f"client {number}: its connection ended after {count} requests")
                return
            finally:
                connection.close()

    async def _ask(self, connection: ExcryptClient, number: int, count: int) -> None:
        mark = b"%d-%d" % (number, count)
        if count % 10 == number % 10:
            request = b"[AOGPKS;AG%b;BD4;LA%b;]" % (mark, mark)
            answer = await connection.request(request)
            if answer.startswith(b"[AOGPKS;"):
                self.written.append(request)
            else:
                self.wrong.append(f"client {number}: {answer!r}")
        else:
            request = b"[AOECHO;AG%b;]" % mark
            answer = await connection.request(request)
            if answer != request:
                self.wrong.append(f"client {number}: {answer!r}")
        self.answered += 1


@attrs.define(eq=False)
class Service:
    """`guardian run` and what follows it; ``proxy`` holds what all of them log."""

    proxy: Running
    devices: dict[str, SimulatedDevice]
    config: Path
    pids: list[int]

    @property
    def pid(self) -> int:
        """Of the process that is the service now."""
        return self.pids[-1]

    def count(self, event: str) -> int:
        return sum(line.get("event") == event for line in self.proxy.lines)

    async def until(self, event: str, count: int, seconds: float = 60.0) -> None:
        with trio.fail_after(seconds):
            while self.count(event) < count:
                await trio.sleep(0.02)

    async def reload(self) -> None:
        before = self.count("reloaded")
        os.kill(self.pid, signal.SIGHUP)
        await self.until("reloaded", before + 1)

    async def upgrade(self) -> None:
        before = self.count("handed over")
        os.kill(self.pid, signal.SIGUSR2)
        await self.until("handed over", before + 1)
        pid = self.proxy.event("handed over")["pid"]
        assert isinstance(pid, int)
        self.pids.append(pid)

    async def until_gone(self, pids: list[int], seconds: float = 60.0) -> None:
        with trio.fail_after(seconds):
            while any(lives(pid) for pid in pids):
                await trio.sleep(0.05)

    def orders(self) -> dict[str, list[bytes]]:
        """The writes that each device ran, in order."""
        return {
            name: [record.request for record in device.journal.executed("GPKS")]
            for name, device in self.devices.items()
        }


async def run(started: Service, tls: ssl.SSLContext, steps: Sequence[str], clients: int) -> Load:
    """Load all the time, these steps meanwhile; nothing may be lost, run twice or in two orders."""
    load = Load(started.proxy.address, tls)
    async with trio.open_nursery() as nursery:
        for number in range(clients):
            nursery.start_soon(load.client, number, 6 if number % 2 else 1_000_000)
        for step in steps:
            await trio.sleep(0.3)
            await (started.upgrade() if step == "upgrade" else started.reload())
        await trio.sleep(0.3)
        load.stop = True
    assert load.wrong == [], "\n".join(map(str, [*load.wrong[:12], *started.proxy.lines[-60:]]))
    assert load.answered > 5 * clients
    orders = started.orders()
    assert orders["hsm1"] == orders["hsm2"] == orders["hsm3"]
    assert sorted(orders["hsm1"]) == sorted(load.written)
    await started.until_gone(started.pids[:-1])
    assert not [line for line in started.proxy.lines if line["level"] == "error"]
    os.kill(started.pid, signal.SIGTERM)
    await started.until_gone(started.pids)
    assert started.count("stopped") == 1 + steps.count("upgrade")
    return load


@asynccontextmanager
async def service(
    pki: PkiFiles, folder: Path, *, group: str = PATIENT, elsewhere: str = "", environment: Mapping[str, str] = {}
) -> AsyncIterator[Service]:
    devices = {
        name: SimulatedDevice(name, tls=device_tls(pki, name), directory=DEFAULT_DIRECTORY.open_to_all())
        for name in NAMES
    }
    async with trio.open_nursery() as nursery:
        entries = {}
        for number, (name, device) in enumerate(devices.items()):
            device.hsm.table.put(Slot(Key(KeyKind.AES, bytes(32), ANY_USE), "old"), 4)
            await nursery.start(device.serve)
            role = "production" if number else "primary"
            entries[name] = f'address: "127.0.0.1:{device.port}", role: {role}'
        path = folder / "guardian.yaml"
        path.write_text(configuration(pki, entries, group=group) + elsewhere)
        async with running(path, environment=environment) as proxy:
            started = Service(proxy, devices, path, [proxy.process.pid])
            try:
                await _until_all_serve(started, client_tls(pki, "vault-1"))
                yield started
            finally:
                for pid in started.pids[1:]:
                    if lives(pid):
                        os.kill(pid, signal.SIGKILL)
        nursery.cancel_scope.cancel()


async def _until_all_serve(started: Service, tls: ssl.SSLContext) -> None:
    client = await ExcryptClient.connect(started.proxy.address, tls)
    with trio.fail_after(20):
        while {name for name, device in started.devices.items() if device.journal.of("RAND")} != set(NAMES):
            await client.request(b"[AORAND;]")
            await trio.sleep(0.01)
    client.close()


def lives(pid: int) -> bool:
    """A process that has ended may still wait for somebody to be told."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main() -> None:
    """The long run of `make soak`: 20 reloads and 5 upgrades under 64 clients."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pki = make_pki(
            folder / "pki",
            algorithm="ecdsa",
            clients=("vault-1",),
            devices=dict.fromkeys(NAMES, ("127.0.0.1",)),
            crl=False,
            days=30,
        )

        async def soak() -> Load:
            group = PATIENT + f"    writes: {{journal: {folder / 'writes.journal'}}}\n"
            async with service(pki, folder, group=group) as started:
                steps = ("reload", "reload", "upgrade", "reload", "reload") * 5
                return await run(started, client_tls(pki, "vault-1"), steps, clients=64)

        load = trio.run(soak)
        print(
            f"20 reloads, 5 upgrades, 64 clients: {load.answered} requests and {load.connects} connects, none failed; "
            f"{len(load.written)} writes, each once and in one order on {len(NAMES)} devices"
        )


if __name__ == "__main__":
    main()
