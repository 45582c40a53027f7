"""Connections that do not finish their handshake: each goes in time, whatever became of its listener."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
import trio

from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from tests.support.estate import Estate, apply, client_tls, device_tls, estate

ECHO = b"[AOECHO;AGx;]"


def limited(world: Estate, pki: PkiFiles, limits: str) -> None:
    text = world.config.read_text()
    old = f"ca: [{pki.ca}]}}\n\ngroups"
    assert old in text
    world.config.write_text(text.replace(old, f"ca: [{pki.ca}]}}\n    limits: {limits}\n\ngroups"))
    apply(world.proxy, world.config)


async def ended(stream: trio.SocketStream) -> None:
    with trio.fail_after(30):
        while await stream.receive_some(100):
            pass


@pytest.mark.parametrize("retired", [False, True])
async def test_one_that_does_not_talk_is_let_go_of_in_time(pki: PkiFiles, tmp_path: Path, *, retired: bool) -> None:
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with estate(pki, tmp_path, devices) as world:
        limited(
            world, pki, "{handshake: 1500ms}" if retired else "{handshake: 500ms}"
        )  # listeners are swept each second
        [listener] = world.proxy.intake.listeners
        quiet = await trio.open_tcp_stream(*world.address)
        with trio.fail_after(30):
            while not listener.handshaking:
                await trio.sleep(0.01)
        if retired:
            text = world.config.read_text()
            world.config.write_text(text.replace("name: excrypt", "name: other"))
            apply(world.proxy, world.config)
            assert world.proxy.intake.listeners != (listener,)
        await ended(quiet)
        assert listener.snapshot().handshakes == {"timeout": 1}
        assert (listener.handshaking, world.proxy._descriptors.taken) == (0, 0)
        await quiet.aclose()


async def test_the_oldest_makes_room_for_others(pki: PkiFiles, tmp_path: Path) -> None:
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with estate(pki, tmp_path, devices) as world:
        limited(world, pki, "{handshakes: 4}")
        quiet = [await trio.open_tcp_stream(*world.address) for _ in range(5)]
        await ended(quiet[0])  # one address has half of the places
        client = await world.client()
        assert await client.request(ECHO) == ECHO
        [listener] = world.proxy.intake.listeners
        assert listener.handshaking <= 2
        for stream in quiet:
            await stream.aclose()
        with trio.fail_after(30):
            while world.proxy._descriptors.taken > 1:
                await trio.sleep(0.01)


async def test_a_tls12_client_that_says_goodbye_resumes_its_session(pki: PkiFiles, tmp_path: Path) -> None:
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with estate(pki, tmp_path, devices) as world:
        context = client_tls(pki, "vault-1")
        context.maximum_version = ssl.TLSVersion.TLSv1_2

        def come(session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
            with socket.create_connection(world.address, timeout=30) as plain:
                tls = context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)
                tls.sendall(ECHO)
                assert tls.recv(100) == ECHO
                resumed, kept = tls.session_reused, tls.session
                tls.unwrap()  # waits for the other's goodbye
                tls.close()
            return bool(resumed), kept

        resumed, session = await trio.to_thread.run_sync(come, None)
        assert not resumed
        assert (await trio.to_thread.run_sync(come, session))[0]


async def test_who_shakes_hands_at_the_end_is_closed(pki: PkiFiles, tmp_path: Path) -> None:
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with estate(pki, tmp_path, devices) as world:
        quiet = await trio.open_tcp_stream(*world.address)
        with trio.fail_after(30):
            while not world.proxy.intake.handshaking:
                await trio.sleep(0.01)
        proxy = world.proxy
    assert (proxy.reactor.links, proxy.intake.handshaking, proxy._descriptors.taken) == (0, 0, 0)
    await ended(quiet)
    await quiet.aclose()
