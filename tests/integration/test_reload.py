"""A reload applies what changed and nothing else, to live connections too."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from balancer.snapshot import Will
from guardian.pki import PkiFiles, make_pki, revoke
from loadtest.simhsm.device import SimulatedDevice
from tests.support.estate import QUICK, Estate, apply, client_tls, device_tls, estate
from tests.support.excrypt_client import Closed
from tests.support.operable import NIGHT_SHIFT

ECHO = b"[AOECHO;AGx;]"


@asynccontextmanager
async def two_devices(pki: PkiFiles, folder: Path, **more: str) -> AsyncIterator[Estate]:
    devices = {name: SimulatedDevice(name, tls=device_tls(pki, name)) for name in ("hsm1", "hsm2")}
    async with estate(pki, folder, devices, **more) as world:
        yield world


def change(world: Estate, old: str, new: str) -> None:
    text = world.config.read_text()
    assert old in text
    world.config.write_text(text.replace(old, new))
    apply(world.proxy, world.config)


async def test_functions_are_tightened_on_the_next_request_of_a_live_connection(pki: PkiFiles, tmp_path: Path) -> None:
    async with two_devices(pki, tmp_path) as world:
        client = await world.client()
        assert await client.request(ECHO) == ECHO
        change(world, "slow_start: 500ms", "slow_start: 500ms\n    functions: {block: [ECHO]}")
        assert await client.request(ECHO) == b"[AOERRO;AM901;ANAO;BBFUNCTION BLOCKED;AGx;]"
        change(world, "functions: {block: [ECHO]}", "functions: {block: [RAND]}")
        assert await client.request(ECHO) == ECHO


async def test_nothing_changed_leaves_every_connection_as_it_is(pki: PkiFiles, tmp_path: Path) -> None:
    async with two_devices(pki, tmp_path) as world:
        client = await world.client()
        assert await client.request(ECHO) == ECHO
        with trio.fail_after(30):
            while any(device.connections["idle"] < 8 for device in world.group.devices):
                await trio.sleep(0.01)
        address, accepted = world.address, [device._accepted for device in world.devices.values()]
        apply(world.proxy, world.config)
        assert world.address == address
        assert await client.request(ECHO) == ECHO
        assert [device._accepted for device in world.devices.values()] == accepted


async def test_a_device_is_added_and_another_drained_under_load(pki: PkiFiles, tmp_path: Path) -> None:
    async with two_devices(pki, tmp_path) as world, trio.open_nursery() as nursery:
        third = SimulatedDevice("hsm3", tls=device_tls(pki, "hsm3"))
        await nursery.start(third.serve)
        stop = False
        wrong: list[bytes] = []

        async def load(number: int) -> None:
            client = await world.client()
            count = 0
            while not stop:
                count += 1
                request = b"[AOECHO;AG%d-%d;]" % (number, count)
                if (answer := await client.request(request)) != request:
                    wrong.append(answer)

        for number in range(8):
            nursery.start_soon(load, number)
        port = world.devices["hsm2"].port
        old = f'- {{name: hsm2, address: "127.0.0.1:{port}", role: production}}'
        change(world, old, f'- {{name: hsm3, address: "127.0.0.1:{third.port}", role: production}}')
        await world.until("hsm1", "hsm3")
        with trio.fail_after(30):
            while [device.name for device in world.group.devices] != ["hsm1", "hsm3"]:
                await trio.sleep(0.01)
            while world.devices["hsm2"].connections:
                await trio.sleep(0.01)
            while not third.journal.of("ECHO"):
                await trio.sleep(0.01)
        stop = True
        await world.until_calm()
        assert not wrong
        nursery.cancel_scope.cancel()


def with_mallory(folder: Path) -> PkiFiles:
    return make_pki(
        folder / "pki",
        algorithm="ecdsa",
        clients=("vault-1", "mallory"),
        devices={"hsm1": ("127.0.0.1",), "hsm2": ("127.0.0.1",)},
        crl=True,
        days=365,
    )


async def test_a_revoked_client_is_closed_and_stays_out(tmp_path: Path) -> None:
    pki = with_mallory(tmp_path)
    async with two_devices(pki, tmp_path) as world:
        change(world, f"ca: [{pki.ca}]}}\n\ngroups", f"ca: [{pki.ca}], crl: [{pki.crl}]}}\n\ngroups")
        good, bad = await world.client("vault-1"), await world.client("mallory")
        assert await good.request(ECHO) == await bad.request(ECHO) == ECHO
        revoke(tmp_path / "pki", ["mallory"], days=365)
        apply(world.proxy, world.config)
        with trio.fail_after(30):
            assert await bad.ended() == b""
        assert await good.request(ECHO) == ECHO
        # With TLS 1.3 a refused client learns it at its first read.
        again = await world.client("mallory")
        with pytest.raises(Closed):
            await again.request(ECHO)
        assert world.proxy.snapshot().listeners[0].handshakes["refused"] == 1


async def test_who_is_revoked_amid_its_handshake_stays_out(tmp_path: Path) -> None:
    pki = with_mallory(tmp_path)
    async with two_devices(pki, tmp_path) as world:
        change(world, f"ca: [{pki.ca}]}}\n\ngroups", f"ca: [{pki.ca}], crl: [{pki.crl}]}}\n\ngroups")
        good, bad = [await trio.open_tcp_stream(*world.address) for _ in range(2)]
        [listener] = world.proxy.intake.listeners
        with trio.fail_after(30):
            while listener.handshaking < 2:
                await trio.sleep(0.01)
        revoke(tmp_path / "pki", ["mallory"], days=365)
        apply(world.proxy, world.config)
        client = trio.SSLStream(good, client_tls(pki, "vault-1"), server_hostname="127.0.0.1")
        await client.send_all(ECHO)
        assert await client.receive_some(100) == ECHO
        refused = trio.SSLStream(bad, client_tls(pki, "mallory"), server_hostname="127.0.0.1")
        with contextlib.suppress(trio.BrokenResourceError):
            await refused.send_all(ECHO)
            assert await refused.receive_some(100) == b""
        assert world.proxy.snapshot().listeners[0].handshakes == {"ok": 1, "refused": 1}
        for stream in (client, refused):
            await trio.aclose_forcefully(stream)


async def test_a_broken_file_changes_nothing(pki: PkiFiles, tmp_path: Path) -> None:
    async with two_devices(pki, tmp_path) as world:
        client = await world.client()
        before = world.proxy.config
        world.config.write_text(world.config.read_text().replace("role: production", "role: prodution"))
        with pytest.raises(AssertionError):
            apply(world.proxy, world.config)
        assert world.proxy.config is before
        assert await client.request(ECHO) == ECHO


async def test_an_address_that_is_taken_changes_nothing(pki: PkiFiles, tmp_path: Path) -> None:
    async with two_devices(pki, tmp_path) as world:
        client = await world.client()
        taken = f"127.0.0.1:{world.devices['hsm1'].port}"
        with pytest.raises(OSError, match=taken):
            change(
                world,
                "\ngroups:",
                f"  - {{name: second, bind: '{taken}', group: payments, tls: {{mode: clear}}}}\ngroups:",
            )
        assert list(world.proxy.intake.addresses) == ["excrypt"]
        assert await client.request(ECHO) == ECHO


async def test_a_listener_is_added_and_taken_away(pki: PkiFiles, tmp_path: Path) -> None:
    entry = "  - {name: second, bind: '127.0.0.1:0', group: payments, tls: {mode: clear}}\n"
    async with two_devices(pki, tmp_path) as world:
        change(world, "\ngroups:", entry + "\ngroups:")
        host, _, port = world.proxy.intake.addresses["second"].rpartition(":")
        stream = await trio.open_tcp_stream(host, int(port))
        await stream.send_all(ECHO)
        assert await stream.receive_some() == ECHO
        change(world, entry, "")
        with trio.fail_after(30):
            assert await stream.receive_some() == b""
        with pytest.raises(OSError, match="attempts to connect"):
            await trio.open_tcp_stream(host, int(port))
        await stream.aclose()


async def test_will_of_the_operator_moves_requests(pki: PkiFiles, tmp_path: Path) -> None:
    async with two_devices(pki, tmp_path, group=QUICK) as world:
        client = await world.client()
        world.proxy.set_will("payments", "hsm1", Will.DRAIN, NIGHT_SHIFT)
        await world.until("hsm2")
        seen = len(world.devices["hsm1"].journal.of("RAND"))
        for _ in range(20):
            assert (await client.request(b"[AORAND;AGy;]")).startswith(b"[AORAND;")
        assert len(world.devices["hsm1"].journal.of("RAND")) == seen
        world.proxy.set_will("payments", "hsm1", Will.MAINT, NIGHT_SHIFT)
        with trio.fail_after(30):
            while world.devices["hsm1"].connections:
                await trio.sleep(0.01)
        world.proxy.set_will("payments", "hsm1", Will.READY, NIGHT_SHIFT)
        await world.until("hsm1", "hsm2")
        with pytest.raises(LookupError, match="hsm9"):
            world.proxy.set_will("payments", "hsm9", Will.DRAIN, NIGHT_SHIFT)


async def test_no_more_clients_come_in_than_the_limit(pki: PkiFiles, tmp_path: Path) -> None:
    async with two_devices(pki, tmp_path) as world:
        change(world, f"ca: [{pki.ca}]}}\n\ngroups", f"ca: [{pki.ca}]}}\n    limits: {{connections: 3}}\n\ngroups")
        served = 0

        async def come() -> None:
            nonlocal served
            with contextlib.suppress(Closed):
                client = await world.client()
                if await client.request(ECHO) == ECHO:
                    served += 1

        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(come)
        assert served == 3
        assert world.proxy.snapshot().listeners[0].handshakes["crowded"] == 9


async def test_a_device_with_another_address_is_shown_once(pki: PkiFiles, tmp_path: Path) -> None:
    async with two_devices(pki, tmp_path) as world, trio.open_nursery() as nursery:
        pinned = await world.client()
        await pinned.request(b"[AOQQQQ;]")
        await nursery.start((moved := SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))).serve)
        change(world, f":{world.devices['hsm1'].port}", f":{moved.port}")
        assert [device.name for device in world.group.devices] == ["hsm1", "hsm2"]
        await world.until("hsm1", "hsm2")
        nursery.cancel_scope.cancel()
