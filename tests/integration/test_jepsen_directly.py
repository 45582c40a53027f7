"""The harness on one emulated device without a proxy: keys, doubt and loss as its clients and checkers see them."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio

from guardian.pki import make_pki
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.latency import LogNormal
from tests.support.estate import client_tls, device_tls
from tests.support.histories import Promises
from tests.support.jepsen import DIRECTORY, WHO, Result, cancellable, judged, live, report
from tests.support.lives import Traffic
from tests.support.nemesis import Nemesis

ONE = Promises(sessions=True, writes=True, likeness=False, quorum=1)


async def performed(folder: Path, seconds: float, *deeds: str) -> Result:
    random = Random(3)
    pki = make_pki(
        folder / "pki",
        algorithm="ecdsa",
        clients=[who.identity for who in WHO],
        devices={"hsm1": ("127.0.0.1",)},
    )
    device = SimulatedDevice(
        "hsm1", tls=device_tls(pki, "hsm1"), directory=DIRECTORY, latency=LogNormal(0.002, 0.02), capacity=16
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(device.serve)
        contexts = {who.identity: client_tls(pki, who.identity) for who in WHO}
        traffic = Traffic(lambda: device.address, contexts.__getitem__, ONE, device.hsm.major_key)
        nemesis = Nemesis({"hsm1": device}, random, trio.sleep_forever, lambda _: True, deeds, 0.3)
        evil = await nursery.start(cancellable, nemesis.run if deeds else trio.sleep_forever)
        await live(traffic, random, seconds, evil)
        nursery.cancel_scope.cancel()
    return judged(traffic, {"hsm1": device}, ["hsm1"], nemesis.diary, settled=True)


@pytest.mark.parametrize("deeds", [(), ("kill", "cut")], ids=["in peace", "killed and cut"])
async def test_one_device_that_keeps_its_keys_violates_nothing(tmp_path: Path, deeds: tuple[str, ...]) -> None:
    result = await performed(tmp_path, 3.0, *deeds)
    assert not result.violations, report(result)
    for code in ("GPKA", "GPKD", "HMAC", "TIME", "ERRO 35"):
        assert result.counts[code] > 0, result.counts
    assert bool(result.diary) is bool(deeds)


@pytest.mark.parametrize("deed", ["empty", "old"])
async def test_a_device_that_serves_without_its_keys_is_found(tmp_path: Path, deed: str) -> None:
    result = await performed(tmp_path, 5.0, deed)
    assert "no_device_behind_serves" in {violation.checker for violation in result.violations}, report(result)
