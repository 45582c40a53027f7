"""The proxy as a service: sockets that systemd bound, and what systemd hears."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from config.model import Bind
from guardian.pki import PkiFiles
from guardian.sockets import listen_everywhere
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.latency import Constant
from tests.support.admin_port import ask
from tests.support.estate import client_tls, configuration, device_tls
from tests.support.excrypt_client import ExcryptClient
from tests.support.process import running
from tests.support.service_manager import ServiceManager

ACTIVATE = shutil.which("systemd-socket-activate")
ECHO = b"[AOECHO;AGx;]"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    listening = ServiceManager(str(tmp_path / "notify"))
    yield listening
    listening.close()


async def device(pki: PkiFiles, nursery: trio.Nursery) -> str:
    """Starts one; gives its entry in the configuration."""
    started = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    await nursery.start(started.serve)
    return f'address: "127.0.0.1:{started.port}", role: primary'


async def test_systemd_hears_of_start_reload_health_and_stop(
    pki: PkiFiles, tmp_path: Path, nursery: trio.Nursery, manager: ServiceManager
) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text(configuration(pki, {"hsm1": await device(pki, nursery)}))
    told = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"}
    async with running(path, environment=told) as proxy:
        heard: list[str] = []

        async def until(*words: str) -> None:
            with trio.fail_after(15):
                while True:
                    for pid, message in manager.heard_so_far():
                        assert pid == proxy.process.pid
                        heard.append(message)
                    if all(any(word in message for message in heard) for word in words):
                        return
                    await trio.sleep(0.02)

        await until("READY=1", "WATCHDOG=1", "STATUS=serving payments: 1 of 1 devices in service")
        assert heard[0] == "READY=1"
        heard.clear()
        proxy.send(signal.SIGHUP)
        await until("RELOADING=1", "READY=1")
        words = [message.partition("=")[0] for message in heard]
        assert words.index("RELOADING") < words.index("READY")
        path.write_text("listeners: [\n")
        heard.clear()
        proxy.send(signal.SIGHUP)  # also when it fails, the service is ready again
        await until("RELOADING=1", "READY=1")
        proxy.send(signal.SIGTERM)
        await until("STOPPING=1")
        assert await proxy.process.wait() == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_who_comes_first_finds_a_device(
    pki: PkiFiles, tmp_path: Path, nursery: trio.Nursery, workers: int
) -> None:
    """After a restart clients wait in systemd's sockets: each was told that there is no device."""
    started = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"), latency=Constant(0.4))
    await nursery.start(started.serve)
    path = tmp_path / "guardian.yaml"
    text = configuration(pki, {"hsm1": f'address: "127.0.0.1:{started.port}", role: primary'})
    path.write_text(f"workers: {workers}\n{text}")
    async with running(path) as proxy:
        client = await ExcryptClient.connect(proxy.address, client_tls(pki, "vault-1"))
        assert await client.request(ECHO) == ECHO
        client.close()


@pytest.mark.skipif(ACTIVATE is None, reason="needs systemd-socket-activate (Debian: systemd)")
async def test_sockets_of_systemd_are_served_by_address_and_by_name(
    pki: PkiFiles, tmp_path: Path, nursery: trio.Nursery
) -> None:
    assert ACTIVATE is not None
    ports = []
    for _ in range(3):
        [free] = listen_everywhere(Bind(host="127.0.0.1", port=0))
        ports.append(free.getsockname()[1])
        free.close()
    by_name, by_address, admin = ports
    text = configuration(
        pki,
        {"hsm1": await device(pki, nursery)},
        listener=f"  - {{name: second, bind: 127.0.0.1:{by_address}, group: payments, tls: {{mode: clear}}}}",
    )
    path = tmp_path / "guardian.yaml"
    path.write_text(text)
    sources = f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}"  # it hands down nothing by itself
    where = [option for port in ports for option in ("-l", f"127.0.0.1:{port}")]
    with socket.socket() as first:
        nursery.start_soon(_knock, first, by_address)  # it starts the proxy when somebody comes
        async with running(
            path, before=[ACTIVATE, "-E", sources, *where, "--fdname=excrypt:unit.socket:admin"]
        ) as proxy:
            assert proxy.address == ("127.0.0.1", by_name)  # though the configuration leaves the port open
            assert proxy.admin == ("127.0.0.1", admin)
            for client in (
                await ExcryptClient.connect(("127.0.0.1", by_name), client_tls(pki, "vault-1")),
                await ExcryptClient.connect(("127.0.0.1", by_address), None),
            ):
                with trio.fail_after(30):
                    while await client.request(ECHO) != ECHO:
                        await trio.sleep(0.02)
                client.close()
            assert (await ask(Bind(host=proxy.admin[0], port=proxy.admin[1]), "GET", "/readyz")).status == 200


async def _knock(sock: socket.socket, port: int) -> None:
    sock.setblocking(False)
    async_sock = trio.socket.from_stdlib_socket(sock)
    while True:
        try:
            await async_sock.connect(("127.0.0.1", port))
        except OSError:
            await trio.sleep(0.01)
        else:
            return
