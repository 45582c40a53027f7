"""Writes before real sockets and emulated devices: what a client hears, what each device ran, who serves afterwards."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import trio

from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.faults import Fault
from loadtest.simhsm.identity import DEFAULT_DIRECTORY, Directory
from loadtest.simhsm.key import ANY_USE, Key, KeyKind
from loadtest.simhsm.keytable import Slot
from tests.support.estate import QUICK, Estate, apply, device_tls, estate

NAMES = ("hsm1", "hsm2", "hsm3", "hsm4")
ROLES = {"hsm4": "role: backup"}
OPEN = DEFAULT_DIRECTORY.open_to_all()
UNKNOWN = b"BBOUTCOME UNKNOWN;"


def devices(pki: PkiFiles, directory: Directory | None = None) -> dict[str, SimulatedDevice]:
    """By default open to all, with one key in slot 4 of each."""
    made = {name: SimulatedDevice(name, tls=device_tls(pki, name), directory=directory or OPEN) for name in NAMES}
    for device in made.values():
        fill(device)
    return made


def fill(device: SimulatedDevice) -> None:
    device.hsm.table.put(Slot(Key(KeyKind.AES, bytes(32), ANY_USE), "old"), 4)


def settings(folder: Path, more: str = "") -> str:
    return QUICK + f"    writes: {{journal: {folder / 'writes.journal'}{more}}}\n"


PROBED = 'identity: {probes: [{request: "[AOGPKM;]"}], interval: 800ms, timeout: 800ms}'


def probed(folder: Path) -> str:
    """The same, with key tables compared."""
    return settings(folder).replace("identity: {probes: []}", PROBED)


def executed(world: Estate, request: bytes) -> dict[str, int]:
    """How often each device ran exactly these bytes."""
    counts = {
        name: sum(record.request == request for record in device.journal.executed())
        for name, device in world.devices.items()
    }
    return {name: count for name, count in counts.items() if count}


def labels(world: Estate) -> dict[str, str]:
    return {name: device.hsm.table[4].label for name, device in world.devices.items() if 4 in device.hsm.table}


async def unsafe(world: Estate, *names: str) -> None:
    with trio.fail_after(30):
        while {device.name for device in world.group.devices if device.health.value == "unsafe"} != set(names):
            await trio.sleep(0.005)


async def test_a_write_is_on_every_device_once_and_in_one_order(pki: PkiFiles, tmp_path: Path) -> None:
    async with estate(pki, tmp_path, devices(pki), roles=ROLES, group=settings(tmp_path)) as world:
        clients = [await world.client() for _ in range(8)]
        sent: list[bytes] = []

        async def write(number: int) -> None:
            for count in range(10):
                request = b"[AOGPKS;AG%d-%d;BD4;LA%d-%d;]" % (number, count, number, count)
                answer = await clients[number].request(request)
                assert answer.startswith(b"[AOGPKS;"), answer
                assert b"LA%d-%d;" % (number, count) in answer
                assert executed(world, request) == dict.fromkeys(NAMES, 1), "success before every device had it"
                sent.append(request)

        async with trio.open_nursery() as nursery:
            for number in range(len(clients)):
                nursery.start_soon(write, number)
        clock = b"[AOTIME;AGclock;]"
        assert (await clients[0].request(clock)).startswith(b"[AOTIME;")
        assert executed(world, clock) == dict.fromkeys(NAMES, 1)
        orders = {
            name: [record.request for record in device.journal.executed("GPKS")]
            for name, device in world.devices.items()
        }
        assert all(order == orders["hsm1"] for order in orders.values())
        assert sorted(orders["hsm1"]) == sorted(sent)
        assert len(set(labels(world).values())) == 1
        await world.until("hsm1", "hsm2", "hsm3")
        assert world.group.writes.results == {"ok": 81}
        await world.until_nobody_is_behind()


async def test_devices_that_die_between_get_behind_and_nothing_runs_twice(pki: PkiFiles, tmp_path: Path) -> None:
    async with estate(
        pki, tmp_path, devices(pki), roles=ROLES, group=settings(tmp_path, ", quorum: majority")
    ) as world:
        client = await world.client()
        world.devices["hsm2"].fault = Fault.reset("GPKS", times=1)  # it runs, and nobody hears of it
        request = b"[AOGPKS;AG1;BD4;LAone;]"
        assert b"LAone;" in await client.request(request)
        await unsafe(world, "hsm2")
        assert "may have write 1 (GPKS)" in world.device("hsm2").reason
        assert executed(world, request) == dict.fromkeys(NAMES, 1)

        await world.devices["hsm3"].kill()
        with trio.fail_after(30):
            while world.device("hsm3").health.value != "down":
                await trio.sleep(0.005)
        refused = b"[AOGPKS;AG2;BD4;LAtwo;]"
        answer = await client.request(refused)
        assert b"AM902;" in answer, "three of four are no longer to be had"
        assert executed(world, refused) == {}
        assert b"AOECHO" in await client.request(b"[AOECHO;AG3;]")


async def test_a_restart_with_an_empty_table_serves_nothing_that_needs_a_key(pki: PkiFiles, tmp_path: Path) -> None:
    async with estate(pki, tmp_path, devices(pki), roles=ROLES, group=settings(tmp_path)) as world:
        client = await world.client()
        await world.devices["hsm2"].kill()
        await world.until("hsm1", "hsm3", "hsm4")
        assert b"LAnew;" in await client.request(b"[AOGPKS;AG1;BD4;LAnew;]")
        await world.devices["hsm2"].restart(empty_keys=True)
        await unsafe(world, "hsm2")
        before = len(world.devices["hsm2"].journal)
        for number in range(60):
            answer = await client.request(b"[AOGPKR;AGr%d;BD4;]" % number)
            assert b"LAnew;" in answer
        later = list(world.devices["hsm2"].journal)[before:]
        assert all(record.code == "ECHO" for record in later), "it got more than pings"


async def test_the_primary_lost_in_a_write_is_in_doubt_and_another_takes_over_if_it_may(
    pki: PkiFiles, tmp_path: Path
) -> None:
    group = settings(tmp_path, ", primary_loss: promote")
    async with estate(pki, tmp_path, devices(pki), roles=ROLES, group=group) as world:
        client = await world.client()
        world.devices["hsm1"].fault = Fault.reset("GPKS", times=1)
        doubtful = b"[AOGPKS;AG1;BD4;LAdoubt;]"
        assert UNKNOWN in await client.request(doubtful)
        await unsafe(world, "hsm1")
        assert executed(world, doubtful) == {"hsm1": 1}
        assert world.group.writes.in_doubt == ("hsm1",)
        sure = b"[AOGPKS;AG2;BD4;LAsure;]"
        assert b"LAsure;" in await client.request(sure)
        assert executed(world, sure) == {"hsm2": 1, "hsm3": 1, "hsm4": 1}
        assert world.group.writes.promoted == "hsm2"


async def test_a_key_made_in_a_slot_leaves_the_others_behind_and_one_that_comes_back_does_not(
    pki: PkiFiles, tmp_path: Path
) -> None:
    async with estate(pki, tmp_path, devices(pki), roles=ROLES, group=settings(tmp_path)) as world:
        client = await world.client()
        answer = await client.request(b"[AOGECC;AG1;BJ6;RA2;KB1;CZG;]")
        assert b"RC" in answer
        await world.until("hsm1", "hsm2", "hsm3")
        answer = await client.request(b"[AOGPGS;AG2;CT6;BD9;]")
        assert b"BG" in answer
        await unsafe(world, "hsm2", "hsm3", "hsm4")
        await world.until("hsm1")
        codes = Counter(record.code for device in world.devices.values() for record in device.journal.executed())
        assert (codes["GECC"], codes["GPGS"]) == (1, 1)


async def test_who_is_behind_stays_so_over_a_restart_of_the_proxy(pki: PkiFiles, tmp_path: Path) -> None:
    group = settings(tmp_path)
    made = devices(pki)
    async with estate(pki, tmp_path, made, roles=ROLES, group=group) as world:
        client = await world.client()
        world.devices["hsm3"].fault = Fault.error("GPKS", times=1)
        assert b"LAone;" in await client.request(b"[AOGPKS;AG1;BD4;LAone;]")
        await unsafe(world, "hsm3")
        await world.until_calm()
    again = {name: SimulatedDevice(name, tls=device_tls(pki, name)) for name in NAMES}
    async with estate(pki, tmp_path, again, roles=ROLES, group=group, wait=False) as world:
        await world.until("hsm1", "hsm2", "hsm4")
        assert world.device("hsm3").health.value == "unsafe"
        assert "refused write 1" in world.device("hsm3").reason
        assert world.group.writes.last_sequence == 1


async def test_a_reload_keeps_who_is_behind_and_takes_another_journal(pki: PkiFiles, tmp_path: Path) -> None:
    async with estate(pki, tmp_path, devices(pki), roles=ROLES, group=settings(tmp_path)) as world:
        client = await world.client()
        world.devices["hsm3"].fault = Fault.error("GPKS", times=1)
        assert b"LAone;" in await client.request(b"[AOGPKS;AG1;BD4;LAone;]")
        await unsafe(world, "hsm3")
        text = world.config.read_text().replace("writes.journal", "other.journal")
        world.config.write_text(text)
        apply(world.proxy, world.config)
        assert b"LAtwo;" in await client.request(b"[AOGPKS;AG2;BD4;LAtwo;]")
        assert world.device("hsm3").health.value == "unsafe"
        other = (tmp_path / "other.journal").read_text()
        assert '"device":"hsm3","write":1' in other
        assert '"write":2' in other


async def test_a_write_of_a_session_runs_on_every_device_as_that_identity(pki: PkiFiles, tmp_path: Path) -> None:
    async with estate(pki, tmp_path, devices(pki, DEFAULT_DIRECTORY), roles=ROLES, group=settings(tmp_path)) as world:
        user = await world.client()
        assert b"ANY" in await user.request(b"[AORKLG;DAcrypto1;CHsafest1;]")
        for number in range(3):
            request = b"[AOGPKS;AG%d;BD4;LAs%d;]" % (number, number)
            assert b"LAs%d;" % number in await user.request(request)
            assert executed(world, request) == dict.fromkeys(NAMES, 1)
        who = {record.identity for device in world.devices.values() for record in device.journal.of("GPKS")}
        assert who == {"crypto1"}
        assert world.group.writes.behind == {}


async def test_a_client_that_leaves_in_the_middle_leaves_nobody_behind(pki: PkiFiles, tmp_path: Path) -> None:
    """Its session's connections stay until the write is on every device."""
    async with estate(pki, tmp_path, devices(pki, DEFAULT_DIRECTORY), roles=ROLES, group=settings(tmp_path)) as world:
        user = await world.client()
        assert b"ANY" in await user.request(b"[AORKLG;DAcrypto1;CHsafest1;]")
        world.devices["hsm1"].fault = Fault.late("GPKS", times=1, delay=0.2)
        world.devices["hsm3"].fault = Fault.late("GPKS", times=1, delay=0.2)
        request = b"[AOGPKS;AG1;BD4;LAleft;]"
        await user.send(request)
        with trio.fail_after(30):
            while not executed(world, request):
                await trio.sleep(0.005)
            user.vanish()
            while world.group.writes.under_way or not world.group.writes.results:
                await trio.sleep(0.005)
        assert executed(world, request) == dict.fromkeys(NAMES, 1)
        assert world.group.writes.behind == {}
        with trio.fail_after(30):
            while world.group.sessions or any(device.connections["private"] for device in world.group.devices):
                await trio.sleep(0.005)


async def test_a_device_that_missed_a_write_comes_back_when_its_table_was_brought_into_line(
    pki: PkiFiles, tmp_path: Path
) -> None:
    async with estate(pki, tmp_path, devices(pki), roles=ROLES, group=probed(tmp_path)) as world:
        client = await world.client()
        await world.devices["hsm2"].kill()
        await world.until("hsm1", "hsm3", "hsm4")
        assert b"AOGPKD" in await client.request(b"[AOGPKD;AG1;BD4;]")
        await world.devices["hsm2"].restart()
        await unsafe(world, "hsm2")
        await trio.sleep(1.0)
        assert world.device("hsm2").health.value == "unsafe", "it was let in with another key table"
        world.devices["hsm2"].hsm.table.delete(4)  # as the vendor's synchronisation does
        await world.until("hsm1", "hsm2", "hsm3")
        await world.until_nobody_is_behind()


async def test_after_a_crash_in_a_write_only_those_serve_that_were_shown_equal(pki: PkiFiles, tmp_path: Path) -> None:
    group, made, journal = probed(tmp_path), devices(pki), tmp_path / "writes.journal"
    async with estate(pki, tmp_path, made, roles=ROLES, group=group) as world:
        client = await world.client()
        for name in ("hsm2", "hsm3"):
            made[name].fault = Fault.mute("GPKD", executed=name == "hsm2")
        await client.send(b"[AOGPKD;AG1;BD4;]")
        with trio.fail_after(30):
            while not all(made[name].journal.of("GPKD") for name in ("hsm1", "hsm2", "hsm3")):
                await trio.sleep(0.005)
            while '"device":"hsm1"' not in (at_the_crash := journal.read_text()):
                await trio.sleep(0.005)
    journal.write_text(at_the_crash)  # a proxy that is only stopped may still note that hsm4 got nothing
    again = {name: SimulatedDevice(name, tls=device_tls(pki, name), directory=OPEN) for name in NAMES}
    for name, device in again.items():
        device.hsm.table = made[name].hsm.table
    assert {name for name, device in again.items() if 4 in device.hsm.table} == {"hsm3", "hsm4"}
    async with estate(pki, tmp_path, again, roles=ROLES, group=group, wait=False) as world:
        await world.until("hsm1", "hsm2")
        with trio.move_on_after(30):  # written down at the next look
            while "hsm2" in world.group.writes.behind:
                await trio.sleep(0.005)
        assert set(world.group.writes.behind) == {"hsm3", "hsm4"}
        assert set(world.group.writes.in_doubt) == {"hsm3", "hsm4"}
        again["hsm3"].hsm.table.delete(4)
        await world.until("hsm1", "hsm2", "hsm3")
        assert sum(len(device.journal.of("GPKD")) for device in again.values()) == 0, "it was sent again"
