"""Nobody gets another's answer, whatever clients and devices do; and the test would see it if somebody did."""

from __future__ import annotations

import os
import ssl
from collections import Counter
from pathlib import Path
from random import Random

import attrs
import trio

import balancer.session
from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.faults import FaultMix
from loadtest.simhsm.tls import server_context
from tests.support.estate import Estate, device_tls, estate, time_never_twice
from tests.support.excrypt_client import Closed, ExcryptClient
from tests.support.naive_pool import NaivePool

CLIENTS = 48
# What is compiled takes a fraction of the time, and is what users run.
WANTED = 5_000 if balancer.session.__file__.endswith(".py") else 20_000
REQUESTS_OF_A_LIFE = 50
PATIENCE = 15.0  # seconds: more than the proxy may ever take
NAMES = ("hsm1", "hsm2", "hsm3")


@attrs.define
class Seen:
    wanted: int
    requests: int = 0
    foreign: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    outcomes: Counter[str] = attrs.field(factory=Counter)

    @property
    def enough(self) -> bool:
        return self.requests >= self.wanted or bool(self.foreign)


async def lives(address: tuple[str, int], tls: ssl.SSLContext, number: int, seen: Seen) -> None:
    """One client after the other, a quarter of which vanish in the middle of a request."""
    random = Random(number)
    life = 0
    while not seen.enough:
        life += 1
        leaves_at = random.randrange(REQUESTS_OF_A_LIFE) if random.random() < 0.25 else None
        try:
            client = await ExcryptClient.connect(address, tls)
        except Closed:
            seen.outcomes["closed"] += 1
            continue
        try:
            await one_life(client, b"c%d.%d" % (number, life), leaves_at, random, seen)
        except Closed:
            seen.outcomes["closed"] += 1
        finally:
            client.close()


async def one_life(client: ExcryptClient, name: bytes, leaves_at: int | None, random: Random, seen: Seen) -> None:
    for count in range(REQUESTS_OF_A_LIFE):
        seen.requests += 1
        code = random.choice((b"ECHO", b"RAND", b"TIME"))
        mark = b"AG%b.%d;" % (name, count)
        await client.send(b"[AO%b;%b]" % (code, mark))
        if count == leaves_at:
            if random.random() < 0.5:
                await trio.sleep(random.random() * 0.005)
            client.vanish()
            return
        with trio.move_on_after(PATIENCE) as waiting:
            answer = await client.receive()
        if waiting.cancelled_caught:
            seen.outcomes["unanswered"] += 1
            return
        if mark not in answer:
            seen.foreign.append((mark, answer))
            return
        own = answer.startswith(b"[AO" + code + b";")
        seen.outcomes["ok" if own else answer.split(b";")[1].decode()] += 1


def troubled(pki: PkiFiles) -> dict[str, SimulatedDevice]:
    shares = {"reset": 0.005, "repeat": 0.01, "late": 0.02, "garbage": 0.005, "close_half": 0.005}
    shares |= {"wrong_echo": 0.005, "wrong_code": 0.005, "close": 0.005}
    return {
        name: SimulatedDevice(name, tls=device_tls(pki, name), fault=FaultMix(seed=seed, delay=0.02, **shares))
        for seed, name in enumerate(NAMES)
    }


def left_over(world: Estate) -> dict[str, object]:
    """What the proxy still does or holds besides its connections to devices."""
    found: dict[str, object] = {}
    for device in world.group.devices:
        counts = {"outstanding": device.outstanding, **{kind: device.connections[kind] for kind in ("private", "busy")}}
        found |= {f"{device.name} {what}": count for what, count in counts.items() if count}
    for running in world.proxy.devices:
        found |= {f"{device.name} work": device.work for device in running.devices if device.work}
    links, connections = world.proxy.reactor.links, sum(device.connections for device in world.devices.values())
    return found if links == connections else {**found, "links": links, "connections of devices": connections}


async def test_thousands_of_requests_and_no_foreign_answer(pki: PkiFiles, tmp_path: Path) -> None:
    seen = Seen(wanted=WANTED)
    # Devices this bad would all be ejected most of the time; here they are to go on being bad.
    group = """
    ping: {interval: 800ms, timeout: 800ms, fall: 3, rise: 1}
    ejection: {failures: 1000, base: 100ms, max: 200ms}
    slow_start: 0s
    retries: {attempts: 4, attempt_timeout: 1s, budget: 0.5}
    """
    async with estate(pki, tmp_path, troubled(pki), group=group, listener=time_never_twice(tmp_path)) as world:
        await world.until_calm()
        tasks = trio.lowlevel.current_statistics().tasks_living
        async with trio.open_nursery() as nursery:
            for number in range(CLIENTS):
                nursery.start_soon(lives, world.address, world.tls(), number, seen)
        for device in world.devices.values():
            device.fault = None
        await world.until_calm()
        with trio.fail_after(30):
            intake = world.proxy.intake
            while intake.clients or trio.lowlevel.current_statistics().tasks_living > tasks + 8 * len(NAMES):
                await trio.sleep(0.01)
        assert not seen.foreign, seen.foreign[:3]
        assert not seen.outcomes["unanswered"], seen.outcomes
        assert not seen.outcomes["closed"], seen.outcomes
        assert seen.outcomes["ok"] > 0.9 * seen.wanted, seen.outcomes
        with trio.move_on_after(30):
            while left_over(world):  # or only a ping, or a connection of which one end knows already
                await trio.sleep(0.01)
        assert not left_over(world)
    for device in world.devices.values():
        writes = Counter(record.request for record in device.journal.of("TIME"))
        assert all(count == 1 for count in writes.values())
    everywhere = Counter(record.request for device in world.devices.values() for record in device.journal.of("TIME"))
    assert all(count == 1 for count in everywhere.values()), "a write reached devices twice"


async def test_no_descriptor_is_left(pki: PkiFiles, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with estate(pki, tmp_path, troubled(pki), listener=time_never_twice(tmp_path)) as world:
        seen = Seen(wanted=500)
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(lives, world.address, world.tls(), number, seen)
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # a cached resolver may stay open


async def test_the_same_test_finds_cross_talk_in_a_naive_pool(pki: PkiFiles) -> None:
    devices = troubled(pki)
    seen = Seen(wanted=3_000)
    theirs = ssl.create_default_context(cafile=str(pki.ca))
    theirs.load_cert_chain(pki.proxy_client.certificate, pki.proxy_client.key)
    tls = ssl.create_default_context(cafile=str(pki.ca))
    tls.load_cert_chain(pki.clients["vault-1"].certificate, pki.clients["vault-1"].key)
    async with trio.open_nursery() as nursery:
        for device in devices.values():
            await nursery.start(device.serve)
        ours = server_context(pki.server.certificate, pki.server.key, ca=[pki.ca])
        pool = NaivePool([device.address for device in devices.values()], ours, theirs)
        await nursery.start(pool.run)
        for number in range(CLIENTS):
            nursery.start_soon(lives, pool.address, tls, number, seen)
        with trio.move_on_after(60):
            while not seen.enough:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert seen.foreign, "the test does not see what it is for"
    print(f"naive pool: {len(seen.foreign)} foreign answers in {seen.requests} requests")
