"""Several processes that serve as one: what one of them loses is its own, and new orders reach all or none."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from config.model import Bind
from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.latency import Constant
from tests.support.admin_port import ask
from tests.support.estate import QUICK, client_tls, configuration, device_tls
from tests.support.excrypt_client import Closed, ExcryptClient
from tests.support.process import GUARDIAN, Running, running
from tests.support.service_manager import ServiceManager

ECHO = b"[AOECHO;AGx;]"
_LATE = b"[AOECHO;AGlate;]"
_BLOCKED = b"[AOSTAT;AGx;]"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    listening = ServiceManager(str(tmp_path / "notify"))
    yield listening
    listening.close()


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
    pki: PkiFiles,
    folder: Path,
    device: SimulatedDevice,
    environment: Mapping[str, str],
    more: str = "",
    group: str = QUICK,
) -> AsyncIterator[Crew]:
    """Two workers before one device. ``more``: YAML for the end of the file."""
    async with trio.open_nursery() as nursery:
        await nursery.start(device.serve)
        entry = f'address: "127.0.0.1:{device.port}", role: primary, connections: 4'
        path = folder / "guardian.yaml"
        path.write_text(configuration(pki, {"hsm1": entry}, group=group) + "workers: 2\n" + more)
        async with running(path, environment=environment) as proxy:
            serving = Crew(proxy, path, client_tls(pki, "vault-1"))
            client = await serving.client()
            with trio.fail_after(60):  # until each has found the device fit
                while await client.request(ECHO) != ECHO:
                    await trio.sleep(0.02)
            serving.leave()
            yield serving
            serving.leave()
        nursery.cancel_scope.cancel()


_SECOND = """\
  - name: second
    bind: 127.0.0.1:0
    group: payments
    tls: {{mode: mutual, certificate: {certificate}, key: {key}, ca: [{ca}]}}
"""


def _files(pki: PkiFiles) -> dict[str, Path]:
    return {"certificate": pki.server.certificate, "key": pki.server.key, "ca": pki.ca}


async def test_workers_live_and_die_by_their_supervisor(
    pki: PkiFiles, tmp_path: Path, nursery: trio.Nursery, manager: ServiceManager
) -> None:
    """One story, as each start of three processes takes seconds."""
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    told = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "900000"}
    async with crew(pki, tmp_path, device, told) as serving:
        heard: list[str] = []
        nursery.start_soon(_hear, manager, serving.proxy.process.pid, heard)

        async def until_heard(*words: str) -> None:
            await serving.until(lambda: all(any(word in message for message in heard) for word in words), 60)

        await until_heard("READY=1", "WATCHDOG=1", "STATUS=serving 2 of 2 workers, payments: 1 of 1 devices in service")
        clients = await serving.clients_of_all()
        first = serving.pids
        for pid in first.values():
            assert os.getpgid(pid) == pid, "an interrupt at the terminal is for the supervisor"
            ignored = int(Path(f"/proc/{pid}/status").read_text().split("SigIgn:")[1].split()[0], 16)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
                assert ignored >> (number - 1) & 1, "a manager may signal all, and the supervisor says what it means"
            assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0), "keys are in its memory"

        # A mistake changes nothing, anywhere; nor does an upgrade, which is refused.
        text = serving.config.read_text()
        serving.config.write_text(text.replace("workers: 2", "workrs: 2"))
        serving.reload()
        await serving.until(lambda: serving.lines("reload failed, the old configuration stays"))
        serving.proxy.send(signal.SIGUSR2)
        await serving.until(lambda: serving.lines("upgrade failed, this process goes on"))
        for client in clients:
            assert await client.request(ECHO) == ECHO
            assert b"AM901;" not in await client.request(_BLOCKED)

        # A new listener, and a rule of the group: each worker has them.
        more = text.replace("groups:\n", _SECOND.format(**_files(pki)) + "groups:\n", 1)
        serving.config.write_text(
            more.replace("  - name: payments\n", "  - name: payments\n    functions: {block: [STAT]}\n")
        )
        heard.clear()
        serving.reload()
        await serving.until(lambda: serving.lines("reloaded"))
        await until_heard("RELOADING=1", "READY=1")
        for client in clients:
            assert b"AM901;" in await client.request(_BLOCKED)
        assert serving.pids == first

        # One is killed: only its own connections are lost, and its successor runs on what the others run on.
        serving.config.write_text("listeners: [\n")
        had = await serving.connections()
        os.kill(first[1], signal.SIGKILL)
        kept = [client for client in clients if await _lives(client)]
        assert len(clients) - len(kept) == had[1]
        await serving.until(lambda: serving.pids[1] != first[1])
        (line,) = serving.lines("a worker has ended, another is started")
        assert line["worker"] == 1
        assert "SIGKILL" in str(line["reason"])
        assert serving.pids[2] == first[2]
        serving.leave()
        clients = await serving.clients_of_all()
        for client in clients:
            assert b"AM901;" in await client.request(_BLOCKED)

        # The end: all drain, and what is outstanding is answered.
        await _answered_while(serving, device, clients, signal.SIGTERM)
        with trio.fail_after(30):
            assert await serving.proxy.process.wait() == 0
        for pid in serving.pids.values():
            assert not Path(f"/proc/{pid}").exists()
        assert {line["worker"] for line in serving.lines("draining")} == {1, 2}
        assert any("STOPPING=1" in message for message in heard)


async def _hear(manager: ServiceManager, pid: int, heard: list[str]) -> None:
    """Always: the kernel keeps a few messages only."""
    while True:
        for sender, message in manager.heard_so_far():
            assert sender == pid, "only the supervisor speaks for the service"
            heard.append(message)
        await trio.sleep(0.05)


async def _lives(client: ExcryptClient) -> bool:
    try:
        return await client.request(ECHO) == ECHO
    except Closed:
        return False


async def _answered_while(
    serving: Crew, device: SimulatedDevice, clients: list[ExcryptClient], number: signal.Signals
) -> None:
    """Each client has a request outstanding when the signal comes, and gets its answer."""
    device.workload.latency = Constant(1.5)  # twice that, as four connections take all clients in two goes, is in time
    answers: list[bytes] = []

    async def late(client: ExcryptClient) -> None:
        answers.append(await client.request(_LATE))

    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(late, client)
        await serving.until(lambda: device.journal.count(_LATE) == len(clients))
        serving.proxy.send(number)
        await serving.until(lambda: _refused(serving.proxy.address))
        assert len(answers) < len(clients), "nobody new is left to wait for who takes nobody more"
    assert answers == [_LATE] * len(clients)


async def test_workers_whose_supervisor_is_killed_answer_what_is_outstanding_and_end(
    pki: PkiFiles, tmp_path: Path
) -> None:
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    notice = "shutdown: {drain_notice: 120s}\n"  # is for those who ask whether it is ready: nobody answers them now
    async with crew(pki, tmp_path, device, {}, notice) as serving:
        clients = await serving.clients_of_all()
        await _answered_while(serving, device, clients, signal.SIGKILL)
        await serving.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in serving.pids.values()))
        assert len(serving.lines("the supervisor has ended: this worker drains and ends too")) == 2


async def test_what_one_worker_doubts_the_other_looks_at_though_its_turn_is_far(pki: PkiFiles, tmp_path: Path) -> None:
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    rarely = QUICK.replace("interval: 800ms, timeout: 800ms", "interval: 60s, timeout: 1s")
    assert rarely != QUICK
    async with crew(pki, tmp_path, device, {}, group=rarely) as serving:
        client = await serving.client()
        device.workload.latency = Constant(30.0)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ask_in_vain, client, ECHO)

            def who_knows() -> set[object]:
                return {line["worker"] for line in serving.lines("device health", health="down")}

            await serving.until(lambda: len(who_knows()) == 2, 12.0)
            nursery.cancel_scope.cancel()


async def _ask_in_vain(client: ExcryptClient, request: bytes) -> None:
    with suppress(Closed):
        await client.request(request)


def _refused(address: tuple[str, int]) -> bool:
    with socket.socket() as trying:
        trying.settimeout(5)
        return trying.connect_ex(address) == errno.ECONNREFUSED


async def test_who_asks_for_the_end_again_and_again_need_not_wait(pki: PkiFiles, tmp_path: Path) -> None:
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    patient = "shutdown: {drain_notice: 120s, timeout: 120s}\n"
    async with crew(pki, tmp_path, device, {}, patient) as serving:
        client = await serving.client()
        device.workload.latency = Constant(60.0)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ask_in_vain, client, _LATE)
            await serving.until(lambda: device.journal.count(_LATE))
            serving.proxy.send(signal.SIGTERM)
            await serving.until(lambda: len(serving.lines("draining")) == 2)
            with trio.fail_after(30):
                while serving.proxy.process.returncode is None:
                    serving.proxy.send(signal.SIGTERM)
                    await trio.sleep(0.3)
            assert serving.proxy.process.returncode == 0
            nursery.cancel_scope.cancel()


async def test_who_is_told_to_stop_before_all_serve_stops_at_once(pki: PkiFiles, tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text(configuration(pki, {"hsm1": 'address: "127.0.0.1:1", role: primary'}) + "workers: 2\n")
    process = await trio.lowlevel.open_process([str(GUARDIAN), "run", str(path)], stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = b""
    try:
        with trio.fail_after(60):
            while b'"starting"' not in said:
                said += await process.stderr.receive_some()
            process.send_signal(signal.SIGTERM)
            while part := await process.stderr.receive_some():  # until the last of its workers has ended too
                said += part
            assert await process.wait() == 0
    finally:
        process.kill()
        await process.stderr.aclose()
    assert b"stopped before it served" in said
    assert b"a worker serves" not in said
