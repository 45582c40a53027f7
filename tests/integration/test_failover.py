"""Devices die, hang and restart under load: no read is lost, no write runs twice."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import attrs
import trio

from guardian.pki import PkiFiles
from health.state import Health
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.faults import Fault
from loadtest.simhsm.journal import Outcome
from loadtest.simhsm.latency import Constant, PerCommand
from tests.support.estate import Estate, device_tls, estate, time_never_twice
from tests.support.excrypt_client import ExcryptClient

CLIENTS = 64
ATTEMPT_TIMEOUT = 0.5  # seconds
REQUEST_TIMEOUT = 5.0  # what a hang would cost a read that is not tried elsewhere
WRITE_EVERY = 8  # requests of a client


@attrs.define
class Seen:
    """What clients saw: one entry per request."""

    lost_reads: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    doubtful_writes: list[bytes] = attrs.field(factory=list)
    done_writes: list[bytes] = attrs.field(factory=list)
    other_writes: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    slowest_read: float = 0.0
    reads: int = 0
    stop: bool = False


async def one_client(client: ExcryptClient, number: int, seen: Seen) -> None:
    """Reads and now and then a write, one after the other, each with an echo text of its own."""
    count = 0
    while not seen.stop:
        count += 1
        mark = b"AGc%d-%d;" % (number, count)
        if count % WRITE_EVERY == 0:
            request = b"[AOTIME;" + mark + b"]"
            answer = await client.request(request)
            if answer.startswith(b"[AOTIME;") and mark in answer:
                seen.done_writes.append(request)
            elif answer == b"[AOERRO;AM903;ANAO;BBOUTCOME UNKNOWN;" + mark + b"]":
                seen.doubtful_writes.append(request)
            else:
                seen.other_writes.append((request, answer))
        else:
            request = b"[AORAND;" + mark + b"BL8;]" if count % 2 else b"[AOECHO;" + mark + b"]"
            before = trio.current_time()
            answer = await client.request(request)
            seen.slowest_read = max(seen.slowest_read, trio.current_time() - before)
            seen.reads += 1
            if not (answer.startswith(request[:8]) and mark in answer):
                seen.lost_reads.append((request, answer))


async def watch_backups(world: Estate, seen: Seen, faults: list[str]) -> None:
    """At every moment as many backups serve as production devices are lost, as far as there are backups."""
    [group] = world.proxy.devices
    while not seen.stop:
        lost = [device.name for device in group.devices if not device.is_backup and device.health is not Health.UP]
        [backup] = [device for device in group.devices if device.is_backup]
        # Not `in_service`: where it was slow once, others are preferred to it until it answers.
        stands_in = backup.name in group.scheduler.active_backups
        if backup.health is Health.UP and stands_in != bool(lost):
            faults.append(f"lost: {lost}, the backup stands in: {stands_in}")
        await trio.sleep(0.002)


async def kill_amid_a_write(device: SimulatedDevice) -> None:
    """Kill it at a moment when it works on a write."""
    earlier = len(device.journal)  # among them those that it never ended, in an earlier life
    while not any(
        record.code == "TIME" and record.outcome is Outcome.ARRIVED for record in islice(device.journal, earlier, None)
    ):
        await trio.sleep(0.001)
    await device.kill()


async def test_no_read_is_lost_and_no_write_runs_twice(pki: PkiFiles, tmp_path: Path) -> None:
    names = ("hsm1", "hsm2", "hsm3", "hsm4")
    # Slow enough that there is always something in work when a device is lost, and writes can be waited for.
    latency = PerCommand({"TIME": Constant(0.03)}, Constant(0.004))
    devices = {name: SimulatedDevice(name, tls=device_tls(pki, name), latency=latency) for name in names}
    seen = Seen()
    faults: list[str] = []
    async with (
        estate(pki, tmp_path, devices, roles={"hsm4": "role: backup"}, listener=time_never_twice(tmp_path)) as world,
        trio.open_nursery() as nursery,
    ):
        for number in range(CLIENTS):
            nursery.start_soon(one_client, await world.client(), number, seen)
        await trio.sleep(0.5)
        nursery.start_soon(watch_backups, world, seen, faults)

        await kill_amid_a_write(devices["hsm1"])
        await world.until("hsm2", "hsm3", "hsm4")
        served = world.device("hsm4").requests
        await trio.sleep(0.5)
        assert world.device("hsm4").requests > served, "the backup is in service and gets nothing"
        await devices["hsm1"].restart()
        await world.until("hsm1", "hsm2", "hsm3")

        devices["hsm2"].fault = Fault.mute()
        await world.until("hsm1", "hsm3", "hsm4")
        await trio.sleep(3 * ATTEMPT_TIMEOUT + 1.0)  # whatever only waits for it waits that long
        devices["hsm2"].fault = None
        devices["hsm2"].reset_connections()
        await world.until("hsm1", "hsm2", "hsm3")

        for name in ("hsm1", "hsm2", "hsm3"):
            await kill_amid_a_write(devices[name])
            await devices[name].restart()
            await world.until("hsm1", "hsm2", "hsm3")
        seen.stop = True
        with trio.fail_after(30):
            while world.proxy.owed:
                await trio.sleep(0.01)
        await world.until_calm()
    assert seen.reads > 1000
    assert seen.slowest_read < REQUEST_TIMEOUT, "a hang cost a read more than its attempt time-out"
    assert not seen.lost_reads, seen.lost_reads[:3]
    assert not seen.other_writes, seen.other_writes[:3]
    assert not faults, faults[:3]
    assert seen.doubtful_writes, "no write in work when its device was lost was in doubt: the test saw nothing"
    arrived = Counter(record.request for device in devices.values() for record in device.journal.of("TIME"))
    executed = Counter(record.request for device in devices.values() for record in device.journal.executed("TIME"))
    assert max(arrived.values()) == 1, "a write reached devices twice"
    assert all(executed[request] == 1 for request in seen.done_writes)
