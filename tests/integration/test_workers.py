"""Several processes that serve as one: what one of them loses is its own, and new orders reach all or none."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from config.model import Bind
from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.latency import Constant
from tests.support.admin_port import ask
from tests.support.estate import client_tls, configuration, device_tls
from tests.support.excrypt_client import Closed, ExcryptClient
from tests.support.process import Running, running

ECHO = b"[AOECHO;AGx;]"
_LATE = b"[AOECHO;AGlate;]"


@attrs.define
class Crew:
    proxy: Running
    config: Path
    tls: ssl.SSLContext
    clients: list[ExcryptClient] = attrs.field(factory=list)

    def lines(self, event: str, **wanted: object) -> list[dict[str, object]]:
        return [
            line
            for line in self.proxy.lines
            if line.get("event") == event and all(line.get(key) == value for key, value in wanted.items())
        ]

    async def until(self, condition: Callable[[], Any], seconds: float = 30.0) -> None:
        with trio.fail_after(seconds):
            while not condition():
                await trio.sleep(0.02)

    @property
    def pids(self) -> dict[int, int]:
        """Of each worker's process, the latest."""
        return {line["worker"]: line["pid"] for line in self.lines("a worker serves")}  # type: ignore[misc]

    async def client(self) -> ExcryptClient:
        client = await ExcryptClient.connect(self.proxy.address, self.tls)
        self.clients.append(client)
        return client

    def leave(self) -> None:
        """All clients."""
        for client in self.clients:
            client.close()
        self.clients.clear()

    async def connections(self) -> dict[int, int]:
        """Of clients, by worker, as `/status` says."""
        host, port = self.proxy.admin
        status = (await ask(Bind(host=host, port=port), "GET", "/status")).json
        return {each["number"]: each["connections"] for each in status["workers"]}

    async def clients_of_all(self, answer: str = ECHO.decode()) -> list[ExcryptClient]:
        """Connections: as many as it takes until each worker has two; nobody else has any. All hear ``answer``."""
        found: list[ExcryptClient] = []
        with trio.fail_after(60):
            while True:
                while sum(now := (await self.connections()).values()) != len(found):
                    await trio.sleep(0.05)
                if min(now) >= 2:
                    return found
                for _ in range(3):
                    client = await self.client()
                    assert answer.encode() in await client.request(ECHO)
                    found.append(client)

    def reload(self) -> None:
        self.proxy.send(signal.SIGHUP)


@asynccontextmanager
async def crew(
    pki: PkiFiles, folder: Path, device: SimulatedDevice | None = None, more: str = ""
) -> AsyncIterator[Crew]:
    """Two workers before one device."""
    device = device or SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    async with trio.open_nursery() as nursery:
        await nursery.start(device.serve)
        entry = f'address: "127.0.0.1:{device.port}", role: primary, connections: 4'
        path = folder / "guardian.yaml"
        path.write_text(configuration(pki, {"hsm1": entry}) + f"workers: 2\n{more}")
        async with running(path) as proxy:
            serving = Crew(proxy, path, client_tls(pki, "vault-1"))
            client = await serving.client()
            with trio.fail_after(20):  # until each has found the device fit
                while await client.request(ECHO) != ECHO:
                    await trio.sleep(0.02)
            serving.leave()
            yield serving
            serving.leave()
        nursery.cancel_scope.cancel()


async def test_a_worker_that_is_killed_loses_only_its_own_connections_and_another_starts(
    pki: PkiFiles, tmp_path: Path
) -> None:
    async with crew(pki, tmp_path) as serving:
        clients = await serving.clients_of_all()
        before, had = serving.pids, await serving.connections()
        os.kill(before[1], signal.SIGKILL)
        kept = []
        for client in clients:
            try:
                assert await client.request(ECHO) == ECHO
                kept.append(client)
            except Closed:
                pass
        assert len(clients) - len(kept) == had[1]
        await serving.until(lambda: serving.pids[1] != before[1])
        (line,) = serving.lines("a worker has ended, another is started")
        assert line["worker"] == 1
        assert "SIGKILL" in str(line["reason"])
        serving.leave()
        for client in await serving.clients_of_all():
            assert await client.request(ECHO) == ECHO
        assert serving.pids[2] == before[2]


async def test_sigterm_drains_all_and_answers_what_is_outstanding(pki: PkiFiles, tmp_path: Path) -> None:
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    async with crew(pki, tmp_path, device) as serving:
        clients = await serving.clients_of_all()
        device.workload.latency = Constant(0.6)
        answers: list[bytes] = []

        async def late(client: ExcryptClient) -> None:
            answers.append(await client.request(_LATE))

        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(late, client)
            await serving.until(lambda: device.journal.count(_LATE) == len(clients))
            serving.proxy.send(signal.SIGTERM)
        assert answers == [_LATE] * len(clients)
        with trio.fail_after(30):
            assert await serving.proxy.process.wait() == 0
        for pid in serving.pids.values():
            assert not Path(f"/proc/{pid}").exists()
        assert len(serving.lines("draining")) == 2, "each drains by itself"
        assert not serving.lines("a worker has ended, another is started")


async def test_a_reload_reaches_all_and_a_mistake_none(pki: PkiFiles, tmp_path: Path) -> None:
    async with crew(pki, tmp_path) as serving:
        clients = await serving.clients_of_all()
        text = serving.config.read_text()
        serving.config.write_text(text.replace("workers: 2", "workrs: 2"))
        serving.reload()
        await serving.until(lambda: serving.lines("reload failed, the old configuration stays"))
        for client in clients:
            assert await client.request(ECHO) == ECHO
        # A new listener, and a rule of the group: each worker must have them.
        more = text.replace("groups:\n", _SECOND.format(**_files(pki)) + "groups:\n", 1)
        serving.config.write_text(
            more.replace("  - name: payments\n", "  - name: payments\n    functions: {block: [ECHO]}\n")
        )
        serving.reload()
        await serving.until(lambda: serving.lines("reloaded"))
        for client in clients:
            assert b"AM901;" in await client.request(ECHO)
        assert serving.proxy.process.returncode is None
        assert not serving.lines("a worker has ended, another is started")
        # Who starts now runs on the same.
        serving.config.write_text("listeners: [\n")
        before = serving.pids
        os.kill(before[2], signal.SIGKILL)
        await serving.until(lambda: serving.pids[2] != before[2])
        serving.leave()
        await serving.clients_of_all("AM901")


_SECOND = """\
  - name: second
    bind: 127.0.0.1:0
    group: payments
    tls: {{mode: mutual, certificate: {certificate}, key: {key}, ca: [{ca}]}}
"""


def _files(pki: PkiFiles) -> dict[str, Path]:
    return {"certificate": pki.server.certificate, "key": pki.server.key, "ca": pki.ca}


async def test_workers_whose_supervisor_is_killed_answer_what_is_outstanding_and_end(
    pki: PkiFiles, tmp_path: Path
) -> None:
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    async with crew(pki, tmp_path, device) as serving:
        clients = await serving.clients_of_all()
        device.workload.latency = Constant(0.5)
        answers: list[bytes] = []

        async def late(client: ExcryptClient) -> None:
            answers.append(await client.request(_LATE))

        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(late, client)
            await serving.until(lambda: device.journal.count(_LATE) == len(clients))
            serving.proxy.send(signal.SIGKILL)
        assert answers == [_LATE] * len(clients)
        await serving.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in serving.pids.values()))
        assert len(serving.lines("the supervisor has ended: this worker drains and ends too")) == 2
