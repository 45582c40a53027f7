"""The proxy as a process: start, signals, drain, exit codes, and more connections than it has descriptors."""

from __future__ import annotations

import resource
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.latency import Constant
from tests.support.estate import configuration, device_tls
from tests.support.excrypt_client import Closed, ExcryptClient
from tests.support.process import GUARDIAN, Running, running

ECHO = b"[AOECHO;AGx;]"


@asynccontextmanager
async def proxy_before_one_device(
    pki: PkiFiles, folder: Path, device: SimulatedDevice, *, tls: str = "", descriptors: int | None = None
) -> AsyncIterator[Running]:
    async with trio.open_nursery() as nursery:
        await nursery.start(device.serve)
        entry = f'address: "127.0.0.1:{device.port}", role: primary'
        path = folder / "guardian.yaml"
        path.write_text(configuration(pki, {"hsm1": entry}, tls=tls))
        async with running(path, descriptors=descriptors) as proxy:
            yield proxy
        nursery.cancel_scope.cancel()


def client_tls(pki: PkiFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.load_cert_chain(pki.clients["vault-1"].certificate, pki.clients["vault-1"].key)
    return context


async def connected(proxy: Running, pki: PkiFiles) -> ExcryptClient:
    """A client whose first request was answered, which takes until the device has answered its first ping."""
    client = await ExcryptClient.connect(proxy.address, client_tls(pki))
    with trio.fail_after(30):
        while await client.request(ECHO) != ECHO:
            await trio.sleep(0.02)
    return client


async def test_sigterm_answers_what_is_outstanding_and_refuses_the_rest(pki: PkiFiles, tmp_path: Path) -> None:
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    async with proxy_before_one_device(pki, tmp_path, device) as proxy:
        working, idle = await connected(proxy, pki), await connected(proxy, pki)
        device.workload.latency = Constant(0.5)
        await working.send(b"[AORAND;AGlast;]")
        with trio.fail_after(30):
            while not device.journal.of("RAND"):
                await trio.sleep(0.005)
        proxy.send(signal.SIGTERM)
        await proxy.until("draining")
        assert await idle.request(b"[AOECHO;AGlate;]") == b"[AOERRO;AM908;ANAO;BBSHUTTING DOWN;AGlate;]"
        assert b"AGlast;" in await working.receive()
        with trio.fail_after(30):
            assert await proxy.process.wait() == 0
        assert b"late" not in b"".join(record.request for record in device.journal)
        with pytest.raises(OSError, match="attempts to connect"):
            await trio.open_tcp_stream(*proxy.address)
        for client in (working, idle):
            client.close()
        assert not [line for line in proxy.lines if line["level"] == "error"]


async def test_sighup_reloads_and_survives_a_broken_file(pki: PkiFiles, tmp_path: Path) -> None:
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    async with proxy_before_one_device(pki, tmp_path, device) as proxy:
        client = await connected(proxy, pki)
        path = tmp_path / "guardian.yaml"
        good = path.read_text()
        path.write_text(good.replace("slow_start: 500ms", "slow_start: 500ms\n    functions: {block: [ECHO]}"))
        proxy.send(signal.SIGHUP)
        await proxy.until("reloaded")
        assert b"AM901" in await client.request(ECHO)
        path.write_text("listeners: [\n")
        proxy.send(signal.SIGHUP)
        await proxy.until("reload failed, the old configuration stays")
        assert b"AM901" in await client.request(ECHO)
        client.close()


async def test_a_bad_configuration_ends_with_its_problems_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text("listeners: []\ngroups: 5\n")
    done = await trio.run_process([str(GUARDIAN), "run", str(path)], capture_stderr=True, check=False)
    assert done.returncode == 1
    assert b"guardian.yaml:2: groups:" in done.stderr
    assert b"Traceback" not in done.stderr


async def test_an_address_in_use_is_one_line(pki: PkiFiles, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = configuration(pki, {"hsm1": 'address: "127.0.0.1:1", role: primary'})
        path = tmp_path / "guardian.yaml"
        path.write_text(text.replace("bind: 127.0.0.1:0", f"bind: 127.0.0.1:{port}"))
        done = await trio.run_process(
            [str(GUARDIAN), "run", str(path)], capture_stderr=True, stdin=subprocess.DEVNULL, check=False
        )
    assert done.returncode == 1
    assert f"127.0.0.1:{port}".encode() in done.stderr
    assert b"Traceback" not in done.stderr


async def test_two_thousand_silent_connections_with_512_descriptors(pki: PkiFiles, tmp_path: Path) -> None:
    """Existing clients go on, and new ones still come in."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2_000
    if hard < wanted + 200:
        pytest.skip(f"needs {wanted + 200} descriptors, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    silent: list[socket.socket] = []
    try:
        async with proxy_before_one_device(pki, tmp_path, device, descriptors=512) as proxy:
            client = await connected(proxy, pki)
            for count in range(wanted):
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(proxy.address)
                silent.append(sock)
                if count % 50 == 0:
                    request = b"[AOECHO;AGflood%d;]" % count
                    with trio.fail_after(30):
                        assert await client.request(request) == request
            for count in range(100):
                request = b"[AOECHO;AGafter%d;]" % count
                with trio.fail_after(30):
                    assert await client.request(request) == request
            with trio.fail_after(20):
                while True:
                    try:
                        late = await ExcryptClient.connect(proxy.address, client_tls(pki))
                        break
                    except (Closed, OSError):
                        await trio.sleep(0.05)
                assert await late.request(ECHO) == ECHO
            late.close()
            client.close()
            assert not [line for line in proxy.lines if line["level"] == "error"]
    finally:
        for sock in silent:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_pinned_clients_leave_descriptors_for_the_rest(pki: PkiFiles, tmp_path: Path) -> None:
    """Each takes two; when there are no more, the next is refused, and everybody else goes on."""
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    async with proxy_before_one_device(pki, tmp_path, device, descriptors=160) as proxy:
        first = await connected(proxy, pki)
        clients, answers = [], []
        for _ in range(120):
            with trio.fail_after(30):
                try:
                    client = await ExcryptClient.connect(proxy.address, client_tls(pki))
                    clients.append(client)
                    answers.append(await client.request(b"[AOQQQQ;]"))
                except (Closed, OSError):
                    break
        assert answers[0] != answers[-1] or len(clients) < 120, "nobody was ever refused"
        with trio.fail_after(30):
            assert await first.request(ECHO) == ECHO
        for client in clients:
            client.close()
        with trio.fail_after(30):
            while (await first.request(b"[AORAND;]"))[:7] != b"[AORAND":
                await trio.sleep(0.02)
        first.close()
        assert not [line for line in proxy.lines if line["level"] == "error"]
