"""Who logs in, or uses a command nobody knows, has a device connection of its own and lends it to nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from balancer.snapshot import Will
from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.faults import Fault
from loadtest.simhsm.identity import DEFAULT_DIRECTORY
from tests.support.estate import QUICK, Estate, device_tls, estate
from tests.support.excrypt_client import ExcryptClient
from tests.support.operable import NIGHT_SHIFT

LOGIN = b"[AORKLG;DAcrypto1;CHsafest1;]"


@asynccontextmanager
async def world_of_two(pki: PkiFiles, folder: Path) -> AsyncIterator[Estate]:
    devices = {
        name: SimulatedDevice(name, tls=device_tls(pki, name), directory=DEFAULT_DIRECTORY) for name in ("hsm1", "hsm2")
    }
    # Logins that follow the client: test_sessions.py. Here its device does not let them.
    group = QUICK + "    sessions: {replay: false}\n"
    async with estate(pki, folder, devices, group=group) as world:
        yield world


async def logged_in(world: Estate) -> ExcryptClient:
    client = await world.client()
    answer = await client.request(LOGIN)
    assert b"ANY" in answer, answer
    return client


async def test_nobody_borrows_a_login(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_two(pki, tmp_path) as world:
        user, strangers = await logged_in(world), [await world.client("vault-2") for _ in range(6)]
        stop = False

        async def ask(client: ExcryptClient, mark: bytes) -> None:
            count = 0
            while not stop:
                count += 1
                await client.request(b"[AOECHO;AG%b-%d;]" % (mark, count))

        async with trio.open_nursery() as nursery:
            for number, client in enumerate(strangers):
                nursery.start_soon(ask, client, b"stranger%d" % number)
            for count in range(100):
                answer = await user.request(b"[AORKEY;FS2;AGuser-%d;]" % count)
                assert answer.startswith(b"[AORKEY;"), answer
            stop = True
        listed = world.proxy.snapshot().listeners[0]
        assert listed.connections == {"shared": 6, "session": 0, "pinned": 1}
        assert world.group.pinned == {"RKLG": 1}
        for device in world.devices.values():
            for record in device.journal:
                if b"AGstranger" in record.request or b"AGping" in record.request:
                    assert record.identity is None, record.request
                if b"AGuser" in record.request:
                    assert record.identity == "crypto1"


async def test_its_connection_is_closed_when_it_leaves(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_two(pki, tmp_path) as world:
        user = await logged_in(world)
        assert sum(device.connections["private"] for device in world.group.devices) == 1
        user.vanish()
        with trio.fail_after(30):
            while any(device.connections["private"] for device in world.group.devices) or world.group.pinned:
                await trio.sleep(0.005)


async def test_losing_the_device_ends_the_client(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_two(pki, tmp_path) as world:
        users = {name: await logged_in(world) for name in ("idle", "reading", "writing")}
        for device in world.devices.values():
            device.fault = Fault.mute("RAND", "TIME")
        await users["reading"].send(b"[AORAND;AGr;]")
        await users["writing"].send(b"[AOTIME;AGw;]")
        with trio.fail_after(30):
            while sum(device.outstanding for device in world.group.devices) < 2:
                await trio.sleep(0.005)
            while sum(len(device.journal.of("TIME")) for device in world.devices.values()) < 1:
                await trio.sleep(0.005)
        for device in world.devices.values():
            await device.kill()
        with trio.fail_after(30):
            assert await users["idle"].ended() == b""
            assert await users["reading"].ended() == b"[AOERRO;AM909;ANAO;BBLOGIN LOST;AGr;]"
            assert await users["writing"].ended() == b"[AOERRO;AM903;ANAO;BBOUTCOME UNKNOWN;AGw;]"
        assert world.group.pinned == {}
        assert world.reached(b"[AOTIME;AGw;]") == 1


async def test_an_unknown_command_pins(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_two(pki, tmp_path) as world:
        client = await world.client()
        assert (await client.request(b"[AOQQQQ;AGx;]")).startswith(b"[AOERRO;")
        for count in range(20):
            await client.request(b"[AOECHO;AGn%d;]" % count)
        places = {
            (name, record.connection)
            for name, device in world.devices.items()
            for record in device.journal
            if b"AGn" in record.request or b"QQQQ" in record.request
        }
        assert len(places) == 1
        assert world.group.pinned == {"QQQQ": 1}


async def test_maintenance_ends_pinned_clients_and_a_drain_waits_for_them(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_two(pki, tmp_path) as world:
        user = await logged_in(world)
        home = next(device.name for device in world.group.devices if device.connections["private"])
        world.proxy.set_will("payments", home, Will.DRAIN, NIGHT_SHIFT)
        assert (await user.request(b"[AORKEY;FS2;AGx;]")).startswith(b"[AORKEY;")
        world.proxy.set_will("payments", home, Will.MAINT, NIGHT_SHIFT)
        with trio.fail_after(30):
            assert await user.ended() == b""


async def test_no_device_leaves_the_client_unpinned(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_two(pki, tmp_path) as world:
        for device in world.devices.values():
            await device.kill()
        await world.until()
        client = await world.client()
        assert await client.request(LOGIN) == b"[AOERRO;AM902;ANAO;BBNO DEVICE AVAILABLE;]"
        for device in world.devices.values():
            await device.restart()
        # The return is proved by a real read; a login would not do.
        reader = await world.client("vault-2")
        with trio.fail_after(30):
            while (await reader.request(b"[AOECHO;AGy;]")) != b"[AOECHO;AGy;]":
                await trio.sleep(0.02)
            while b"ANY" not in await client.request(LOGIN):
                await trio.sleep(0.02)
