"""A login follows its client from device to device, and serves nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.identity import DEFAULT_DIRECTORY, Directory, Identity
from loadtest.simhsm.session import SessionLimits
from tests.support.estate import QUICK, Estate, device_tls, estate
from tests.support.excrypt_client import ExcryptClient

LOGIN = b"[AORKLG;DAcrypto1;CHsafest1;]"
OTHER_LOGIN = b"[AORKLG;DAcrypto2;CHsafest2;]"
NAMES = ("hsm1", "hsm2", "hsm3")


@asynccontextmanager
async def world_of_three(
    pki: PkiFiles, folder: Path, sessions: str = "", directories: Mapping[str, Directory] | None = None, **device: Any
) -> AsyncIterator[Estate]:
    devices = {
        name: SimulatedDevice(
            name, tls=device_tls(pki, name), directory=(directories or {}).get(name, DEFAULT_DIRECTORY), **device
        )
        for name in NAMES
    }
    group = QUICK + (f"    sessions: {{{sessions}}}\n" if sessions else "")
    async with estate(pki, folder, devices, group=group) as world:
        yield world


async def logged_in(world: Estate, name: str = "vault-1", login: bytes = LOGIN) -> ExcryptClient:
    client = await world.client(name)
    answer = await client.request(login)
    assert b"ANY" in answer, answer
    return client


async def use(client: ExcryptClient, count: int, mark: bytes = b"user") -> None:
    """Requests that a device refuses to those who are not logged in."""
    for number in range(count):
        answer = await client.request(b"[AORKEY;FS2;AG%b-%d;]" % (mark, number))
        assert answer.startswith(b"[AORKEY;"), answer


def identities(world: Estate, mark: bytes) -> dict[str, set[str | None]]:
    """As whom the requests with that mark ran, by device."""
    return {
        name: {record.identity for record in device.journal if b"AG" + mark in record.request}
        for name, device in world.devices.items()
    }


async def test_a_login_is_good_on_every_device_and_for_nobody_else(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_three(pki, tmp_path) as world:
        user, stranger = await logged_in(world), await world.client("vault-2")
        for round_ in range(10):
            await use(user, 6)
            for number in range(6):
                await stranger.request(b"[AOECHO;AGstranger-%d-%d;]" % (round_, number))
        assert identities(world, b"user") == {name: {"crypto1"} for name in NAMES}
        assert all(seen <= {None} for seen in identities(world, b"stranger").values())
        assert all(seen <= {None} for seen in identities(world, b"ping").values())
        assert world.proxy.snapshot().listeners[0].connections == {"shared": 1, "session": 1, "pinned": 0}


async def test_devices_lost_one_after_the_other_are_nothing_to_a_client_that_is_logged_in(
    pki: PkiFiles, tmp_path: Path
) -> None:
    async with world_of_three(pki, tmp_path) as world:
        users = [await logged_in(world), await logged_in(world, "vault-2", OTHER_LOGIN)]
        stop = False

        async def ask(client: ExcryptClient, mark: bytes) -> None:
            count = 0
            while not stop:
                await use(client, 5, b"%b%d" % (mark, count))
                count += 1

        async with trio.open_nursery() as nursery:
            for number, user in enumerate(users):
                nursery.start_soon(ask, user, b"u%d" % number)
            for name in ("hsm1", "hsm2"):
                await trio.sleep(0.2)
                await world.devices[name].kill()
            await trio.sleep(0.2)
            await world.devices["hsm1"].restart()
            await world.until("hsm1", "hsm3")
            await trio.sleep(0.2)
            await world.devices["hsm3"].kill()
            await trio.sleep(0.3)
            stop = True
        assert identities(world, b"u0")["hsm1"] == {"crypto1"}
        assert identities(world, b"u1")["hsm1"] == {"crypto2"}


async def test_who_shows_the_same_and_says_the_same_shares(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_three(pki, tmp_path) as world:
        users = [
            await logged_in(world),
            await logged_in(world),
            await logged_in(world, "vault-2"),
            await logged_in(world, login=OTHER_LOGIN),
        ]
        assert world.group.sessions == 3
        for number, user in enumerate(users):
            await use(user, 20, b"u%d" % number)
        for mark, name in ((b"u0", "crypto1"), (b"u1", "crypto1"), (b"u2", "crypto1"), (b"u3", "crypto2")):
            assert set().union(*identities(world, mark).values()) == {name}
        places = [
            {
                (name, record.connection)
                for name, device in world.devices.items()
                for record in device.journal
                if b"AGu%d-" % number in record.request
            }
            for number in range(4)
        ]
        assert places[0] & places[1]
        assert not (places[0] | places[1]) & places[2]
        assert not (places[0] | places[1] | places[2]) & places[3]


async def test_share_none_keeps_them_apart(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_three(pki, tmp_path, "share: none") as world:
        await logged_in(world)
        await logged_in(world)
        assert world.group.sessions == 2


async def test_its_connections_are_closed_when_its_last_client_leaves(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_three(pki, tmp_path) as world:
        first, second = await logged_in(world), await logged_in(world)
        await use(first, 20)
        first.vanish()
        await use(second, 20)
        second.vanish()
        with trio.fail_after(30):
            while world.group.sessions or any(device.connections["private"] for device in world.group.devices):
                await trio.sleep(0.005)


async def test_wrong_passwords_are_tried_on_no_device_after_a_few(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_three(pki, tmp_path, "failures: 3") as world:
        client = await world.client()
        answers = [await client.request(b"[AORKLG;DAcrypto1;CHwrong;AG%d;]" % number) for number in range(10)]
        assert [b"ANN" in answer for answer in answers] == [True] * 3 + [False] * 7
        assert all(b"AM904" in answer for answer in answers[3:])
        assert sum(len(device.journal.of("RKLG")) for device in world.devices.values()) == 3
        assert b"AGx" in await client.request(b"[AOECHO;AGx;]")
        assert await logged_in(world, "vault-2"), "others may go on"


async def test_a_failed_login_leaves_the_client_nobody(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_three(pki, tmp_path) as world:
        client = await logged_in(world)
        assert b"ANN" in await client.request(b"[AORKLG;DAcrypto2;CHwrong;]")
        assert b"LOGIN REQUIRED" in await client.request(b"[AORKEY;FS2;]")
        assert world.group.sessions == 0
        assert b"ANY" in await client.request(OTHER_LOGIN)
        await use(client, 10)
        assert set().union(*identities(world, b"user").values()) == {"crypto2"}


async def test_a_login_that_ends_on_a_device_is_repeated(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_three(pki, tmp_path, session_limits=SessionLimits(requests=7)) as world:
        client = await logged_in(world)
        await use(client, 100)
        assert world.group.logins["expired"] >= 10


async def test_its_own_limits_come_before_the_devices(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_three(pki, tmp_path, "max_requests: 5", session_limits=SessionLimits(requests=7)) as world:
        client = await logged_in(world)
        await use(client, 100)
        assert "expired" not in world.group.logins


async def test_a_device_that_does_not_know_the_login_gets_none_of_its_requests(pki: PkiFiles, tmp_path: Path) -> None:
    nobody = Directory(identities=(Identity(name="somebody-else", password="x"),))
    async with world_of_three(pki, tmp_path, directories={"hsm3": nobody}) as world:
        client = await world.client()
        while b"ANY" not in await client.request(LOGIN):
            pass
        await use(client, 60)
        assert len(world.devices["hsm3"].journal.of("RKEY")) == 0
        assert len(world.devices["hsm3"].journal.of("RKLG")) <= 2


async def test_two_logins_where_a_device_needs_two(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_three(pki, tmp_path, "logins_required: 2", logins_required=2) as world:
        client = await logged_in(world)
        assert world.proxy.snapshot().listeners[0].connections["pinned"] == 1
        assert b"ANY" in await client.request(OTHER_LOGIN)
        await use(client, 60)
        assert all(len(device.journal.of("RKEY")) for device in world.devices.values())


async def test_an_unknown_command_after_the_login_stays_logged_in_and_pinned(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_three(pki, tmp_path) as world:
        client = await logged_in(world)
        assert (await client.request(b"[AOQQQQ;AGx;]")).startswith(b"[AOERRO;")
        assert world.group.pinned == {"QQQQ": 1}
        assert world.group.sessions == 0
        await use(client, 20)
        assert len({name for name, seen in identities(world, b"user").items() if seen}) == 1
