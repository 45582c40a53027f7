"""A group of type kms: the Host API is Excrypt, and may know no harmless command to ping with."""

from __future__ import annotations

from pathlib import Path

import trio

from guardian.pki import PkiFiles
from health.state import Health
from loadtest.simhsm.device import SimulatedDevice
from tests.support.estate import QUICK, device_tls, estate

KMS = QUICK.replace('{request: "[AOECHO;AGping;]"', '{request: "[AOZZZZ;]"') + "\n    type: kms\n"


async def test_any_answer_may_count_as_a_ping(pki: PkiFiles, tmp_path: Path) -> None:
    devices = {"kmes1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    group = KMS.replace('"[AOZZZZ;]"', '"[AOZZZZ;]", accept: answer')
    async with estate(pki, tmp_path, devices, group=group) as world:
        client = await world.client()
        assert await client.request(b"[AOECHO;AGx;]") == b"[AOECHO;AGx;]"
        with trio.fail_after(30):  # two pings, and not only the request above
            while world.reached(b"[AOZZZZ;]") < 2:
                await trio.sleep(0.01)
        assert world.device("kmes1").health is Health.UP


async def test_by_default_an_error_is_no_good_ping(pki: PkiFiles, tmp_path: Path) -> None:
    devices = {"kmes1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with estate(pki, tmp_path, devices, group=KMS, wait=False) as world:
        with trio.fail_after(30):
            while world.device("kmes1").health is not Health.DOWN:
                await trio.sleep(0.01)
        assert "answered with an error" in world.device("kmes1").reason


async def test_a_client_logs_in_as_anywhere(pki: PkiFiles, tmp_path: Path) -> None:
    devices = {"kmes1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with estate(pki, tmp_path, devices, group=QUICK + "\n    type: kms\n") as world:
        client = await world.client()
        assert b"ANY" in await client.request(b"[AORKLG;DAcrypto1;CHsafest1;]")
        assert (await client.request(b"[AORKEY;FS2;AGx;]")).startswith(b"[AORKEY;")
