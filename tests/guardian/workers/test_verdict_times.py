"""How soon the last of several workers knows of a fault, in virtual time: about as soon as one worker by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from itertools import pairwise
from random import Random
from statistics import fmean
from typing import Any, cast

import attrs
import pytest
import trio
from trio.testing import MockClock

from balancer.device import Device
from balancer.group import Group
from balancer.transport.reactor import Reactor
from config import model
from config.model import LikenessAction
from guardian.proxy import Proxy
from guardian.workers.channel import Channel, channel_pair
from guardian.workers.portions import portion
from guardian.workers.verdicts import Verdicts, relay
from health.rota import Rota
from health.state import Health
from tests.support.probed import World, start

FAULTS = 6  # at moments that have nothing to do with the pings'


@attrs.define
class _Worker:
    """What `Verdicts` asks of a proxy."""

    reactor: Reactor
    devices: list[Group]


@attrs.define
class Workers:
    worlds: list[World]

    def __getitem__(self, name: str) -> list[Device]:
        """That device, as each worker knows it."""
        return [world[name] for world in self.worlds]

    async def hang(self, name: str, silent: bool = True) -> None:
        for world in self.worlds:
            world.scripted[name].silent = silent

    async def off(self, name: str, off: bool = True) -> None:
        for world in self.worlds:
            world.scripted[name].off = off
            if off:
                await world.scripted[name].cut()

    async def lose_keys(self, name: str, lost: bool = True) -> None:
        for world in self.worlds:
            world.scripted[name].answers[b"GPKM"] = b"[AOGPKM;KTa;]" if lost else b"[AOGPKM;KTa,b;]"

    async def until(self, name: str, *health: Health) -> float:
        """Seconds until the last of them believes that."""
        began = trio.current_time()
        with trio.fail_after(600):
            while any(device.health not in health for device in self[name]):
                await trio.sleep(0.05)
        return trio.current_time() - began

    def pings(self, name: str) -> list[float]:
        """When it answered one, whoever had sent it."""
        return sorted(at for world in self.worlds for at in world.scripted[name].pings)


@asynccontextmanager
async def workers(count: int, **identity: Any) -> AsyncIterator[Workers]:
    """With the default settings, and no traffic at all."""
    channels: dict[int, Channel] = {}

    def part(number: int) -> Callable[[model.Group], model.Group]:
        return lambda whole: portion(model.Config(listeners=(), groups=(whole,)), number, count).groups[0]

    async with trio.open_nursery() as nursery:
        worlds = []
        for number in range(1, count + 1):
            world = await start(nursery, "p", "a", part=part(number), seed=number, rota=Rota(number, count), **identity)
            channels[number], theirs = channel_pair()
            relay(channels, number)
            far = Channel(theirs)
            verdicts = Verdicts(cast(Proxy, _Worker(world.reactor, [world.group])), far)
            for task in (channels[number].run, far.run, verdicts.run):
                nursery.start_soon(task)
            worlds.append(world)
        made = Workers(worlds)
        await made.until("a", Health.UP)
        await trio.sleep(30)
        yield made
        nursery.cancel_scope.cancel()


async def _times(count: int, fault: str, seen: Health, back: bool, **identity: Any) -> float:
    random = Random(7)
    found = []
    async with workers(count, **identity) as them:
        for _ in range(FAULTS):
            await trio.sleep(20.0 + 10.0 * random.random())
            await getattr(them, fault)("a")
            known = await them.until("a", seen)
            if back:
                await trio.sleep(20.0 + 10.0 * random.random())
            await getattr(them, fault)("a", False)
            found.append(await them.until("a", Health.UP, Health.PROBATION) if back else known)
            await them.until("a", Health.UP, Health.PROBATION)
            for device in them["a"]:
                device.tracker.request_answered(trio.current_time())  # ends its probation
    return fmean(found)


@cache
def seconds(count: int, fault: str, *, back: bool = False) -> float:
    """From a fault, or its end, until the last worker knows of it; on average."""
    seen, identity = Health.DOWN, {}
    if fault == "lose_keys":
        seen, identity = Health.UNSAFE, {"action": LikenessAction.ENFORCE, "interval": 10.0, "timeout": 1.0}
    run = partial(_times, count, fault, seen, back, **identity)
    return trio.run(run, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("fault", ["hang", "off", "lose_keys"])
def test_the_last_of_four_workers_knows_of_a_fault_as_soon_as_a_single_one_would(fault: str) -> None:
    assert seconds(4, fault) <= seconds(1, fault) * 1.15 + 0.1


def test_and_that_the_device_is_back() -> None:
    assert seconds(4, "hang", back=True) <= seconds(1, "hang", back=True) * 1.15 + 1.0, "two pings later at most"


@pytest.mark.parametrize("count", [1, 4])
def test_a_device_gets_as_many_pings_as_from_one_worker_and_as_evenly(count: int) -> None:
    async def calm() -> list[float]:
        async with workers(count) as them:
            for device in them["a"]:
                device.tracker.doubt()
                device.keeper.look()  # all at once, as where one has rung
            began = trio.current_time() + 1.0
            await trio.sleep(200.0)
            return [at for at in them.pings("a") if at > began]

    pings = trio.run(calm, clock=MockClock(autojump_threshold=0))
    gaps = [later - earlier for earlier, later in pairwise(pings)]
    assert 90 <= len(pings) <= 110
    assert max(gaps) <= 3.5, "each 2 s, give or take what a ping is early or late"
