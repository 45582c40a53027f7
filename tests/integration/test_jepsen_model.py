"""The whole harness on a proxy that keeps every promise, and on the same proxy with one fault: it finds each."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from guardian.pki import make_pki
from loadtest.simhsm.tls import server_context
from tests.support.estate import client_tls
from tests.support.jepsen import ALL, DEVICES, WHO, Plan, Result, cancellable, judged, live, new_device, report, settle
from tests.support.lives import Traffic
from tests.support.model_proxy import Bug, ModelProxy
from tests.support.nemesis import Nemesis, Operator


async def performed(folder: Path, seconds: float, bug: Bug | None, *deeds: str, enough: str | None = None) -> Result:
    """It ends sooner when the checker ``enough`` finds something."""
    random = Random(5)
    pki = make_pki(
        folder / "pki",
        algorithm="ecdsa",
        clients=[who.identity for who in WHO],
        devices=dict.fromkeys(DEVICES, ("127.0.0.1",)),
    )
    devices = {name: new_device(pki, name, Plan(seconds), seed) for seed, name in enumerate(DEVICES)}
    async with trio.open_nursery() as nursery:
        for device in devices.values():
            await nursery.start(device.serve)
        addresses = {name: device.address for name, device in devices.items()}
        server = server_context(pki.server.certificate, pki.server.key, ca=[pki.ca])
        proxy = ModelProxy(addresses, server, client_tls(pki, "id0"), ALL.quorum, random, bug)
        await nursery.start(proxy.run)

        async def states() -> dict[str, Any]:
            return {"devices": proxy.states(), "writes": {"under_way": False}}

        operator = Operator(devices, states, every=0.3 if bug is None else 1.5)
        nemesis = Nemesis(devices, random, trio.sleep_forever, operator.in_service, deeds, 0.4)
        operator.doubtful = nemesis.troubled
        assert await settle(operator)

        def result(settled: bool) -> Result:
            return judged(traffic, devices, operator.states, nemesis.diary, settled)

        contexts = {who.identity: client_tls(pki, who.identity) for who in WHO}
        traffic = Traffic(lambda: proxy.address, contexts.__getitem__, ALL, devices["hsm1"].hsm.major_key)
        nemesis.requests = traffic.asked.__len__
        evil = await nursery.start(cancellable, nemesis.run)
        nursery.start_soon(operator.run)

        async def look(found: trio.CancelScope) -> None:
            while not any(each.checker == enough for each in result(settled=True).violations):
                await trio.sleep(0.5)
            found.cancel()

        async with trio.open_nursery() as lives:
            if enough is not None:
                nursery.start_soon(look, lives.cancel_scope)
            await live(traffic, random, seconds, evil)
        evil.cancel()
        await nemesis.put_right()
        settled = bug is not None or await settle(operator)
        nursery.cancel_scope.cancel()
    return result(settled)


async def test_a_proxy_that_keeps_its_promises_violates_nothing(tmp_path: Path) -> None:
    result = await performed(tmp_path, 8.0, None, "kill", "hang", "cut", "trouble", "empty", "old")
    print(report(result))
    assert not result.violations, report(result)
    assert result.settled
    for code in ("GPKA", "HMAC", "RKLG", "RKEY", "ERRO 901"):
        assert result.counts[code] > 0, result.counts


@pytest.mark.parametrize(
    ("bug", "deeds", "checker"),
    [
        (Bug.SERVES_BEHIND, ("empty",), "no_device_behind_serves"),
        (Bug.RESENDS, ("swallow",), "writes_run_once"),
        (Bug.HASTY, ("cut",), "successes_reach_the_quorum"),
        (Bug.FORGETS, ("cut",), "logins_follow"),
        (Bug.DENIES, ("swallow",), "refused_reached_nobody"),
    ],
    ids=[bug.value for bug in Bug],
)
async def test_each_fault_of_a_proxy_is_found(tmp_path: Path, bug: Bug, deeds: tuple[str, ...], checker: str) -> None:
    found: set[str] = set()
    for number, seconds in enumerate((10.0, 20.0, 40.0)):  # what chance does not strike soon, it strikes later
        result = await performed(tmp_path / str(number), seconds, bug, *deeds, enough=checker)
        found |= {violation.checker for violation in result.violations}
        if checker in found:
            break
    assert checker in found
