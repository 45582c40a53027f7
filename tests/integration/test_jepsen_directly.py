"""The harness on one emulated device without a proxy: keys, doubt and loss as its clients and checkers see them."""

from __future__ import annotations

from collections import Counter
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

ROUNDS = (2.0, 6.0, 12.0)  # seconds: what chance does not bring soon, it brings later
CODES = ("GPKA", "GPKD", "HMAC", "TIME", "ERRO 35")
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
        nemesis.requests = traffic.asked.__len__
        evil = await nursery.start(cancellable, nemesis.run if deeds else trio.sleep_forever)
        await live(traffic, random, seconds, evil)
        nursery.cancel_scope.cancel()
    return judged(traffic, {"hsm1": device}, ["hsm1"], nemesis.diary, settled=True)


@pytest.mark.parametrize("deeds", [(), ("kill", "cut")], ids=["in peace", "killed and cut"])
async def test_one_device_that_keeps_its_keys_violates_nothing(tmp_path: Path, deeds: tuple[str, ...]) -> None:
    counts: Counter[str] = Counter()
    diary: list[tuple[float, str]] = []
    for seconds in ROUNDS:
        result = await performed(tmp_path / str(seconds), seconds, *deeds)
        assert not result.violations, report(result)
        counts += result.counts
        diary += result.diary
        if all(counts[code] for code in CODES) and bool(diary) is bool(deeds):
            break
    assert all(counts[code] for code in CODES), counts
    assert bool(diary) is bool(deeds)


@pytest.mark.parametrize("deed", ["empty", "old"])
async def test_a_device_that_serves_without_its_keys_is_found(tmp_path: Path, deed: str) -> None:
    for seconds in ROUNDS:
        result = await performed(tmp_path / str(seconds), seconds, deed)
        found = {violation.checker for violation in result.violations}
        if "no_device_behind_serves" in found:
            break
    assert "no_device_behind_serves" in found, report(result)
