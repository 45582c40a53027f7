"""A licensed rate before a real device, by the device's own journal."""

from __future__ import annotations

import ssl
from pathlib import Path

import trio

from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from tests.support.estate import device_tls, estate
from tests.support.excrypt_client import ExcryptClient

RATE = 50.0
ENOUGH = 75  # requests


async def ask(address: tuple[str, int], tls: ssl.SSLContext, answers: list[bytes]) -> None:
    client = await ExcryptClient.connect(address, tls)
    while len(answers) < ENOUGH:
        answers.append(await client.request(b"[AOECHO;AGx;]"))
    client.close()


async def test_a_device_is_sent_its_rate_and_no_more(pki: PkiFiles, tmp_path: Path) -> None:
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    roles = {"hsm1": f"role: primary, rate: {RATE:.0f}/s"}
    async with estate(pki, tmp_path, {"hsm1": device}, roles=roles) as world:
        answers: list[bytes] = []
        began, before = trio.current_time(), len(list(device.journal))
        with trio.fail_after(60):  # else there are tokens that nobody hands on
            async with trio.open_nursery() as nursery:
                for _ in range(8):
                    nursery.start_soon(ask, world.address, world.tls(), answers)
        elapsed = trio.current_time() - began
        got = len(list(device.journal)) - before
        assert set(answers) == {b"[AOECHO;AGx;]"}
        assert got <= RATE * elapsed + max(1.0, RATE / 40) + 1
        assert got >= ENOUGH
        assert world.device("hsm1").throttled > 0
