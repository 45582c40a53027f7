"""Stopping in phases, and clients that end before they have their answers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from balancer.snapshot import ProxyState
from config.model import Shutdown
from guardian.admin.status import unready
from guardian.lifecycle import Drain
from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.latency import Constant
from tests.support.estate import Estate, device_tls, estate
from tests.support.excrypt_client import Closed

ECHO = b"[AOECHO;AGx;]"
REFUSED = b"[AOERRO;AM908;ANAO;BBSHUTTING DOWN;AGx;]"
LONG = 60.0


@asynccontextmanager
async def one_device(pki: PkiFiles, folder: Path, **more: str) -> AsyncIterator[Estate]:
    async with estate(pki, folder, {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}, **more) as world:
        yield world


async def until_refused(world: Estate) -> None:
    with trio.fail_after(30):
        while True:
            try:
                await (await trio.open_tcp_stream(*world.address)).aclose()
            except OSError:
                return
            await trio.sleep(0.01)


async def test_during_the_notice_only_readyz_says_anything(
    pki: PkiFiles, tmp_path: Path, nursery: trio.Nursery
) -> None:
    async with one_device(pki, tmp_path) as world:
        drain = Drain(world.proxy, Shutdown(drain_notice=LONG, timeout=LONG))
        client = await world.client()
        assert unready(world.proxy.snapshot()) == []
        nursery.start_soon(drain.run)
        with trio.fail_after(30):
            while not unready(world.proxy.snapshot()):
                await trio.sleep(0.01)
        assert world.proxy.state is ProxyState.DRAINING
        assert await client.request(ECHO) == ECHO
        late = await world.client()
        assert await late.request(ECHO) == ECHO
        drain.hurry()
        await until_refused(world)
        assert await late.request(ECHO) == REFUSED


async def test_quiet_clients_go_one_after_the_other_and_busy_ones_are_served(
    pki: PkiFiles, tmp_path: Path, nursery: trio.Nursery
) -> None:
    async with one_device(pki, tmp_path) as world:
        drain = Drain(world.proxy, Shutdown(spread=3.0, timeout=LONG))
        quiet = [await world.client() for _ in range(6)]
        busy = await world.client()
        went: list[float] = []

        async def wait_for(client: object) -> None:
            assert await client.ended() == b""  # type: ignore[attr-defined]
            went.append(trio.current_time())

        done = trio.Event()

        async def run() -> None:
            await drain.run()
            done.set()

        for client in quiet:
            assert await client.request(ECHO) == ECHO
            nursery.start_soon(wait_for, client)
        began = trio.current_time()
        nursery.start_soon(run)
        with trio.fail_after(20):
            while len(went) < len(quiet) and trio.current_time() < began + 2.8:
                assert await busy.request(ECHO) == ECHO
                await trio.sleep(0.02)
            while len(went) < len(quiet):
                await trio.sleep(0.01)
            await done.wait()
        assert went[-1] - went[0] > 0.5, "all at once"
        assert trio.current_time() - began < 20


async def test_the_second_wish_for_an_end_cuts_off_what_hangs(
    pki: PkiFiles, tmp_path: Path, nursery: trio.Nursery
) -> None:
    async with one_device(pki, tmp_path) as world:
        drain = Drain(world.proxy, Shutdown(timeout=LONG))
        client = await world.client()
        assert await client.request(ECHO) == ECHO
        world.devices["hsm1"].workload.latency = Constant(LONG)
        await client.send(b"[AORAND;AGlast;]")
        with trio.fail_after(30):
            while not world.proxy.owed:
                await trio.sleep(0.01)
        done = trio.Event()

        async def run() -> None:
            await drain.run()
            done.set()

        nursery.start_soon(run)
        await until_refused(world)
        drain.hurry()
        assert not done.is_set()
        drain.hurry()
        with trio.fail_after(30), pytest.raises(Closed):
            await client.receive()
        with trio.fail_after(30):
            await done.wait()


async def test_a_handshake_that_was_begun_is_ended_well(pki: PkiFiles, tmp_path: Path, nursery: trio.Nursery) -> None:
    async with one_device(pki, tmp_path) as world:
        tcp = await trio.open_tcp_stream(*world.address)
        with trio.fail_after(30):
            while not world.proxy.intake.handshaking:
                await trio.sleep(0.01)
        world.proxy.intake.stop_accepting()
        await until_refused(world)
        stream = trio.SSLStream(tcp, world.tls(), server_hostname="127.0.0.1")
        await stream.send_all(ECHO)
        with trio.fail_after(30):
            assert await stream.receive_some(100) == ECHO
        await trio.aclose_forcefully(stream)


@pytest.mark.parametrize("mode", ["clear", "mutual"])
async def test_a_client_that_sends_no_more_hears_what_it_is_owed(pki: PkiFiles, tmp_path: Path, mode: str) -> None:
    clear = "  - {name: plain, bind: 127.0.0.1:0, group: payments, tls: {mode: clear}}"
    async with one_device(pki, tmp_path, listener=clear) as world:
        world.devices["hsm1"].workload.latency = Constant(0.2)
        requests = b"".join(b"[AOECHO;AG%d;]" % n for n in range(30))  # more than its pipeline takes at once
        answers = b""
        if mode == "clear":
            host, _, port = world.proxy.intake.addresses["plain"].rpartition(":")
            tcp = await trio.open_tcp_stream(host, int(port))
            await tcp.send_all(requests)
            await tcp.send_eof()
            with trio.fail_after(20):
                async for data in tcp:
                    answers += data
            await tcp.aclose()
        else:
            answers = await trio.to_thread.run_sync(_over_tls, world.address, world.tls(), requests)
        assert answers == requests
        with trio.fail_after(30):
            while world.proxy.intake.clients:
                await trio.sleep(0.01)
        await world.until_calm()


def _over_tls(address: tuple[str, int], context: ssl.SSLContext, requests: bytes) -> bytes:
    """Send, say close_notify, and read what still comes, as the standard library's own objects can be made to."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(address, timeout=60) as sock:

        def turn(act: object) -> object:
            while True:
                try:
                    done = act()  # type: ignore[operator]
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    data = sock.recv(65536)
                    incoming.write(data) if data else incoming.write_eof()
                else:
                    sock.sendall(outgoing.read())
                    return done

        turn(tls.do_handshake)
        turn(lambda: tls.write(requests))
        with suppress(ssl.SSLError):
            tls.unwrap()
        sock.sendall(outgoing.read())
        answers = b""
        while len(answers) < len(requests):
            try:
                data = tls.read(65536)
            except ssl.SSLWantReadError:
                came = sock.recv(65536)
                if not came:
                    break
                incoming.write(came)
            else:
                if not data:
                    break
                answers += data
        return answers
