"""A device comes back with an empty key table and answers every ping."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from guardian.admin.status import status
from guardian.commands.status import lines
from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.key import ANY_USE, Key, KeyKind
from loadtest.simhsm.keytable import Slot
from tests.support.estate import QUICK, Estate, apply, device_tls, estate
from tests.support.excrypt_client import ExcryptClient

OF_OURS = (b"[AOECHO;AGping;]", b"[AOECHO;]", b"[AOGPKM;]")


def fill(device: SimulatedDevice) -> None:
    """The same two keys in the same slots of every device, as a synchronised group has them."""
    for number in (0, 1):
        device.hsm.table.put(Slot(key=Key(KeyKind.AES, bytes([number + 1]) * 16, ANY_USE), label="k"), number)


def asked_by_clients(device: SimulatedDevice) -> list[bytes]:
    return [record.request for record in device.journal if record.request not in OF_OURS]


async def keep_asking(client: ExcryptClient, refused: list[bytes]) -> None:
    count = 0
    while True:
        count += 1
        request = b"[AORAND;AG%d;BL8;]" % count
        answer = await client.request(request)
        if not answer.startswith(b"[AORAND;"):
            refused.append(answer)
        await trio.sleep(0.001)


@asynccontextmanager
async def three(pki: PkiFiles, folder: Path, action: str) -> AsyncIterator[Estate]:
    names = ("hsm1", "hsm2", "hsm3")
    devices = {name: SimulatedDevice(name, tls=device_tls(pki, name)) for name in names}
    for device in devices.values():
        fill(device)
    identity = f"identity: {{action: {action}, interval: 1s, timeout: 500ms}}"
    async with estate(pki, folder, devices, group=QUICK.replace("identity: {probes: []}", identity)) as world:
        await until_known(world, "alike", *names)
        yield world


async def until_known(world: Estate, state: str, *names: str) -> None:
    with trio.fail_after(30):
        while not all(world.device(name).likeness.state.value == state for name in names):
            await trio.sleep(0.005)


def entry(world: Estate, name: str) -> dict[str, object]:
    """What /status says of a device."""
    found = status(world.proxy.snapshot(), "0")
    return next(each for each in found["groups"][0]["devices"] if each["name"] == name)  # type: ignore[index]


@pytest.mark.parametrize("empty", ["hsm1", "hsm3"])  # the primary, and another
async def test_enforced_it_gets_no_request_until_its_table_is_equal(pki: PkiFiles, tmp_path: Path, empty: str) -> None:
    async with three(pki, tmp_path, "enforce") as world, trio.open_nursery() as nursery:
        others = {"hsm1", "hsm2", "hsm3"} - {empty}
        refused: list[bytes] = []
        for _ in range(4):
            nursery.start_soon(keep_asking, await world.client(), refused)
        device = world.devices[empty]
        with trio.fail_after(30):
            while not asked_by_clients(device):
                await trio.sleep(0.005)
        await device.kill()
        before, pinged = len(device.journal), device.journal.count(OF_OURS[0])
        await device.restart(empty_keys=True)
        await until_known(world, "unlike", empty)
        with trio.fail_after(30):  # it answers pings all the time
            while device.journal.count(OF_OURS[0]) < pinged + 3:
                await trio.sleep(0.02)
        since = [record.request for record in list(device.journal)[before:]]
        assert set(since) <= set(OF_OURS), "it got a request with an empty key table"
        shown = entry(world, empty)
        assert (shown["health"], shown["in_service"]) == ("unsafe", False)
        assert str(shown["reason"]).startswith("unlike its group: GPKM.")
        row = next(line for line in lines(status(world.proxy.snapshot(), "0")) if empty in line)
        assert "unlike its group: GPKM." in row
        assert {each.name for each in world.group.devices if each.in_service} == others
        fill(device)
        await world.until("hsm1", "hsm2", "hsm3")
        with trio.fail_after(30):
            while {record.request for record in list(device.journal)[before:]} <= set(OF_OURS):
                await trio.sleep(0.005)
        assert not refused, refused[:3]
        nursery.cancel_scope.cancel()


async def test_observed_it_serves_and_status_and_log_say_what_differs(pki: PkiFiles, tmp_path: Path) -> None:
    async with three(pki, tmp_path, "observe") as world:
        client = await world.client()
        with capture_logs() as logs:
            await world.devices["hsm3"].restart(empty_keys=True)
            await until_known(world, "unlike", "hsm3")
            await world.until("hsm1", "hsm2", "hsm3")
            before = len(asked_by_clients(world.devices["hsm3"]))
            for number in range(12):
                request = b"[AOECHO;AG%d;]" % number
                assert await client.request(request) == request
            assert len(asked_by_clients(world.devices["hsm3"])) > before
            shown = entry(world, "hsm3")
            likeness = shown["likeness"]
            assert isinstance(likeness, dict)
            assert likeness["state"] == "unlike"
            assert {each.partition(":")[0] for each in likeness["differs"]} == {"GPKM.KH", "GPKM.KN", "GPKM.KT"}
            assert likeness["checked_at"].endswith("Z")
            fill(world.devices["hsm3"])
            await until_known(world, "alike", "hsm3")
        [told] = [log for log in logs if log["event"] == "device unlike"]
        assert (told["device"], told["action"]) == ("hsm3", "observe")
        assert {each.partition(":")[0] for each in told["differs"]} == {"GPKM.KH", "GPKM.KN", "GPKM.KT"}
        assert [log["device"] for log in logs if log["event"] == "device alike again"] == ["hsm3"]
        key_check_value = world.devices["hsm1"].hsm.table[0].key.check_value()  # type: ignore[union-attr]
        assert key_check_value not in str(logs)


async def test_a_reload_to_enforce_takes_out_who_was_found_unlike(pki: PkiFiles, tmp_path: Path) -> None:
    async with three(pki, tmp_path, "observe") as world:
        await world.devices["hsm3"].restart(empty_keys=True)
        await until_known(world, "unlike", "hsm3")
        world.config.write_text(world.config.read_text().replace("action: observe", "action: enforce"))
        apply(world.proxy, world.config)
        await world.until("hsm1", "hsm2")
        assert world.device("hsm3").health.value == "unsafe"
        world.config.write_text(world.config.read_text().replace("action: enforce", "action: observe"))
        apply(world.proxy, world.config)
        await world.until("hsm1", "hsm2", "hsm3")
