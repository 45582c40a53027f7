"""Devices that are asked whether they are alike, in virtual time, with scripted devices on socket pairs."""

from __future__ import annotations

import itertools
import socket
from collections import Counter
from random import Random
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from balancer.command import CommandTable
from balancer.device import Device
from balancer.group import Group
from balancer.pool import DeviceKeeper
from balancer.snapshot import Likeness, Will
from balancer.transport.dial import DialError
from balancer.transport.reactor import Reactor
from balancer.write import Write
from config.model import Identity, LikenessAction, Probe, Role, SerialPin
from health.state import Health
from health.tracker import HealthTracker
from tests.support.core import CATALOGUE, device_settings, group_settings

A_WRITE = Write.__new__(Write)  # whose own life is of no matter here
BOUNDS = (0.1, 1.0)
PING = b"[AOECHO;AGping;]"
PROBES = (Probe(request="[AOECHO;]"), Probe(request="[AOGPKM;]"))


@attrs.define(eq=False)
class Scripted:
    """A device that answers by code; None: not at all. `off`: it cannot be connected."""

    name: str
    world: World
    answers: dict[bytes, bytes | None]
    off: bool = False
    delay: float = 0.0  # seconds, of answers to all but pings
    asked: list[tuple[float, bytes]] = attrs.field(factory=list)
    streams: set[trio.SocketStream] = attrs.field(factory=set)

    async def connect(self) -> socket.socket:
        await trio.lowlevel.checkpoint()
        if self.off:
            raise DialError("refused", refused=True)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.world.nursery.start_soon(self._serve, trio.SocketStream(trio.socket.from_stdlib_socket(theirs)))
        return ours

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.streams.add(stream)
        async with stream:
            try:
                async for data in stream:
                    await self._answer(stream, data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
        self.streams.discard(stream)

    async def _answer(self, stream: trio.SocketStream, data: bytes) -> None:
        if data == PING:
            await stream.send_all(data)
            return
        self.asked.append((trio.current_time(), data))
        await trio.sleep(self.delay)
        answer = self.answers[data[3:7]]
        if answer is not None:
            await stream.send_all(answer)

    async def cut(self) -> None:
        """All its connections are gone, as after a restart."""
        for stream in tuple(self.streams):
            await stream.aclose()

    def count(self, code: bytes) -> int:
        return sum(request[3:7] == code for _, request in self.asked)


@attrs.define(eq=False)
class World:
    nursery: trio.Nursery
    group: Group
    scripted: dict[str, Scripted] = attrs.field(factory=dict)
    told: list[tuple[str, dict[str, Any]]] = attrs.field(factory=list)
    served: list[tuple[float, str]] = attrs.field(factory=list)  # when a device was seen in service

    def __getitem__(self, name: str) -> Device:
        return next(device for device in self.group.devices if device.name == name)

    @property
    def serving(self) -> set[str]:
        return {device.name for device in self.group.scheduler.serving}

    def events(self, event: str) -> list[str]:
        return [facts["device"] for told, facts in self.told if told == event]


async def start(nursery: trio.Nursery, *names: str, serials: dict[str, str] | None = None, **identity: Any) -> World:
    """The first name is the primary's."""
    serials = serials or {}
    reactor = Reactor(trio.current_time, lambda exc: pytest.fail(repr(exc)))
    described = [
        device_settings(name, role=Role.PRODUCTION if number else Role.PRIMARY, connections=2, serial=serials.get(name))
        for number, name in enumerate(names)
    ]
    identity.setdefault("probes", PROBES)
    settings = group_settings(*described, identity=Identity(**identity))
    told: list[tuple[str, dict[str, Any]]] = []
    table = CommandTable(CATALOGUE, BOUNDS)
    group = Group(settings, table, BOUNDS, reactor.clock, lambda event, **facts: told.append((event, facts)))
    world = World(nursery, group, told=told)
    nursery.start_soon(reactor.run)
    for number, each in enumerate(described):
        device = Device(each, HealthTracker(settings.ping, settings.ejection, Random(number)), BOUNDS)
        group.devices.append(device)
        answers: dict[bytes, bytes | None] = {
            b"ECHO": b"[AOECHO;VS1;]",
            b"GPKM": b"[AOGPKM;KTa,b;]",
            b"HASH": b"[AOHASH;SN%b;]" % each.name.encode(),
        }
        world.scripted[each.name] = Scripted(each.name, world, answers)
    for number, device in enumerate(group.devices):
        keeper = DeviceKeeper(group, device, world.scripted[device.name].connect, reactor, Random(10 + number))
        nursery.start_soon(keeper.run)
    return world


class TestChecks:
    async def test_devices_are_shown_alike_before_they_serve(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a", action=LikenessAction.ENFORCE)
            for device in world.scripted.values():
                device.delay = 0.5
            await trio.sleep(0.9)
            assert {device.health for device in world.group.devices} == {Health.UP}
            assert world.serving == set(), "pings are answered, and no more"
            await trio.sleep(5)
            assert world.serving == {"p", "a"}
            assert {device.likeness.state for device in world.group.devices} == {Likeness.ALIKE}
            assert all(len(device.upstreams) == 2 for device in world.group.devices)
            nursery.cancel_scope.cancel()

    async def test_they_are_asked_at_the_interval_about(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a")
            await trio.sleep(1000)
            times = [when for when, request in world.scripted["p"].asked if request == b"[AOGPKM;]"]
            gaps = [later - earlier for earlier, later in itertools.pairwise(times[2:])]
            assert 14 <= len(gaps) <= 18
            assert all(54 <= gap <= 66 for gap in gaps), gaps
            assert max(gaps) - min(gaps) > 1, "all at the same moment would be a burst"
            nursery.cancel_scope.cancel()

    async def test_what_differs_is_found_at_the_interval_and_mended_sooner(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a", action=LikenessAction.ENFORCE)
            await trio.sleep(5)
            world.scripted["a"].answers[b"GPKM"] = b"[AOGPKM;KTa;]"
            await trio.sleep(70)
            assert world["a"].health is Health.UNSAFE
            assert world.serving == {"p"}
            world.scripted["a"].answers[b"GPKM"] = b"[AOGPKM;KTa,b;]"
            await trio.sleep(20)
            assert world.serving == {"p", "a"}
            assert (world.events("device unlike"), world.events("device alike again")) == (["a"], ["a"])
            nursery.cancel_scope.cancel()

    async def test_when_asked_for_it_comes_at_once_but_not_without_pause(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a")
            await trio.sleep(10)
            before = world.scripted["a"].count(b"GPKM")
            world.group.likeness.recheck(world["a"], trio.current_time())
            await trio.sleep(0.1)
            assert world.scripted["a"].count(b"GPKM") == before + 1
            for _ in range(200):
                world.group.likeness.recheck(world["a"], trio.current_time())
                await trio.sleep(0.05)
            assert before + 9 <= world.scripted["a"].count(b"GPKM") <= before + 13
            nursery.cancel_scope.cancel()

    async def test_a_request_for_one_during_a_check_is_not_lost(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a")
            await trio.sleep(10)
            world.scripted["a"].delay = 1.0
            world.group.likeness.recheck(world["a"], trio.current_time())
            await trio.sleep(1.5)  # it has answered ECHO, and GPKM is on its way
            world.group.likeness.recheck(world["a"], trio.current_time())
            before = world.scripted["a"].count(b"GPKM")
            await trio.sleep(10)
            assert world.scripted["a"].count(b"GPKM") == before + 1
            nursery.cancel_scope.cancel()

    async def test_maintenance_asks_nothing(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a")
            await trio.sleep(10)
            world.group.set_will(world["a"], Will.MAINT)
            await trio.sleep(1)
            before = len(world.scripted["a"].asked)
            world.group.likeness.recheck(world["a"], trio.current_time())
            await trio.sleep(300)
            assert len(world.scripted["a"].asked) == before
            world.group.set_will(world["a"], Will.READY)
            await trio.sleep(5)
            assert len(world.scripted["a"].asked) > before
            nursery.cancel_scope.cancel()

    async def test_nothing_is_asked_where_nothing_is_configured(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a", probes=())
            await trio.sleep(300)
            assert world.scripted["a"].asked == []
            assert world["a"].likeness.results == {}
            nursery.cancel_scope.cancel()


class TestReconnect:
    async def test_enforced_nothing_is_served_between_the_loss_and_the_check(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a", action=LikenessAction.ENFORCE)
            await trio.sleep(10)
            world.scripted["a"].answers[b"GPKM"] = b"[AOGPKM;KT;]"
            world.scripted["a"].delay = 0.3
            await world.scripted["a"].cut()
            pings = 0
            for _ in range(400):
                await trio.sleep(0.01)
                pings += world["a"].health is Health.UP
                assert "a" not in world.serving
            assert pings > 10, "it was up again, and still did not serve"
            assert world["a"].health is Health.UNSAFE
            world.scripted["a"].answers[b"GPKM"] = b"[AOGPKM;KTa,b;]"
            await trio.sleep(30)
            assert "a" in world.serving
            nursery.cancel_scope.cancel()

    async def test_observed_it_serves_at_once_and_is_checked_soon(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a")
            await trio.sleep(10)
            world.scripted["a"].answers[b"GPKM"] = b"[AOGPKM;KT;]"
            await world.scripted["a"].cut()
            await trio.sleep(3)
            assert world["a"].likeness.state is Likeness.UNLIKE
            assert "a" in world.serving
            assert world.events("device unlike") == ["a"]
            nursery.cancel_scope.cancel()

    async def test_a_primary_that_lost_its_table_does_not_take_the_others_with_it(
        self, autojump_clock: MockClock
    ) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a", "b", action=LikenessAction.ENFORCE)
            await trio.sleep(10)
            world.scripted["p"].answers[b"GPKM"] = b"[AOGPKM;KT;]"
            await world.scripted["p"].cut()
            await trio.sleep(200)
            assert world["p"].health is Health.UNSAFE
            assert world.serving == {"a", "b"}
            nursery.cancel_scope.cancel()

    async def test_without_the_primary_at_the_start_enforced_nobody_serves_until_it_comes(
        self, autojump_clock: MockClock
    ) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a", action=LikenessAction.ENFORCE)
            world.scripted["p"].off = True
            await trio.sleep(100)
            assert world.serving == set()
            assert "nothing to compare it with" in world["a"].snapshot(0.0).reason
            world.scripted["p"].off = False
            await trio.sleep(20)
            assert world["a"].likeness.state is Likeness.ALIKE
            assert "a" in world.serving
            nursery.cancel_scope.cancel()


class TestFailedChecks:
    @pytest.mark.parametrize("answer", [None, b"[AOERRO;AM34;ANAO;BBNOT PERMITTED;]"])
    async def test_enforced_who_was_never_shown_alike_does_not_serve(
        self, autojump_clock: MockClock, answer: bytes | None
    ) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a", action=LikenessAction.ENFORCE)
            world.scripted["a"].answers[b"GPKM"] = answer
            await trio.sleep(100)
            assert world.serving == {"p"}
            assert world["a"].likeness.results["failed"] > 3
            assert world.events("likeness check failed") == ["a"]
            assert "GPKM was" in world["a"].snapshot(0.0).reason
            nursery.cancel_scope.cancel()

    async def test_who_was_shown_alike_stays_and_is_asked_again_soon(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a", action=LikenessAction.ENFORCE)
            await trio.sleep(10)
            world.scripted["a"].answers[b"GPKM"] = b"[AOERRO;AM1;ANAO;BBBUSY;]"
            world.group.likeness.recheck(world["a"], trio.current_time())
            await trio.sleep(8)
            assert world["a"].likeness.results["failed"] >= 2
            assert world.serving == {"p", "a"}
            world.scripted["a"].answers[b"GPKM"] = b"[AOGPKM;KTother;]"
            await trio.sleep(10)
            assert world["a"].health is Health.UNSAFE
            nursery.cancel_scope.cancel()

    async def test_a_probe_is_no_failure_of_the_device(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a")
            world.scripted["a"].answers[b"GPKM"] = None
            await trio.sleep(600)
            shown = world["a"].snapshot(0.0)
            assert (shown.health, shown.outcomes, shown.ejections) == (Health.UP, {}, {})
            assert shown.outstanding <= 1  # the one on its way
            assert "a" in world.serving
            nursery.cancel_scope.cancel()

    async def test_a_busy_device_is_asked_on_a_connection_of_its_own(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a")
            await trio.sleep(10)
            before = world["a"].likeness.results["alike"]
            world["a"].free.clear()  # every connection is busy
            for upstream in world["a"].upstreams:
                upstream.free = False
            world.group.likeness.recheck(world["a"], trio.current_time())
            await trio.sleep(0.5)
            assert world["a"].likeness.results["alike"] == before + 1
            nursery.cancel_scope.cancel()


class TestWrites:
    async def test_no_key_table_is_asked_for_while_a_write_is_under_way(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a")
            await trio.sleep(10)
            world.group.writes.current = A_WRITE
            before = {name: device.count(b"GPKM") for name, device in world.scripted.items()}
            world.group.likeness.recheck(world["a"], trio.current_time())
            await trio.sleep(3)
            assert {name: device.count(b"GPKM") for name, device in world.scripted.items()} == before
            world.group.writes.current = None
            await trio.sleep(1)
            assert world.scripted["a"].count(b"GPKM") > before["a"]
            nursery.cancel_scope.cancel()

    async def test_a_write_that_begins_in_the_middle_of_a_check_is_waited_for(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a")
            await trio.sleep(10)
            world.scripted["a"].delay = 0.2
            before = world.scripted["a"].count(b"GPKM")
            world.group.likeness.recheck(world["a"], trio.current_time())
            await trio.sleep(0.1)  # ECHO is on its way
            world.group.writes.current = A_WRITE
            await trio.sleep(1)
            assert world.scripted["a"].count(b"GPKM") == before
            world.group.writes.current = None
            world.group.writes.done += 1
            await trio.sleep(1)
            assert world.scripted["a"].count(b"GPKM") > before
            nursery.cancel_scope.cancel()

    async def test_a_write_that_never_ends_is_a_failed_check(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a")
            await trio.sleep(10)
            world.group.writes.current = A_WRITE
            world.group.likeness.recheck(world["a"], trio.current_time())
            await trio.sleep(20)
            assert world.events("likeness check failed") == ["a"]
            assert world["a"].likeness.state is Likeness.ALIKE
            nursery.cancel_scope.cancel()

    async def test_devices_asked_with_a_write_between_are_asked_again(self, autojump_clock: MockClock) -> None:
        """The write reaches both tables and is done while the first of the two answers: no false alarm."""
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a", action=LikenessAction.ENFORCE)
            await trio.sleep(10)
            for device in world.scripted.values():
                device.delay = 0.2

            async def writes() -> None:
                for number in range(40):
                    for device in world.scripted.values():
                        device.answers[b"GPKM"] = b"[AOGPKM;KTa,b,%d;]" % number
                    world.group.writes.done += 1
                    world.group.likeness.recheck(world["a"], trio.current_time())
                    await trio.sleep(1.7)

            await writes()
            await trio.sleep(10)
            assert world.events("device unlike") == []
            assert world["a"].likeness.results["alike"] > 5
            assert world.serving == {"p", "a"}
            nursery.cancel_scope.cancel()

    async def test_a_device_that_missed_a_write_is_let_in_when_it_has_caught_up(
        self, autojump_clock: MockClock
    ) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a")
            await trio.sleep(10)
            world.scripted["p"].answers[b"GPKM"] = b"[AOGPKM;KTa,b,c;]"
            world.group.writes.done += 1
            world.group.likeness.fell_behind(world["a"], "missed a write", trio.current_time())
            world.group.changed(world["a"])
            await trio.sleep(100)
            assert world.serving == {"p"}
            assert world["a"].snapshot(0.0).behind
            world.scripted["a"].answers[b"GPKM"] = b"[AOGPKM;KTa,b,c;]"
            await trio.sleep(30)
            assert world.serving == {"p", "a"}
            assert not world["a"].snapshot(0.0).behind
            nursery.cancel_scope.cancel()


class TestSerials:
    async def test_another_box_behind_the_address_is_unsafe(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(
                nursery,
                "p",
                "a",
                serials={"p": "p", "a": "not a"},
                action=LikenessAction.ENFORCE,
                pin=SerialPin(serial="SN"),
            )
            await trio.sleep(10)
            assert world.serving == {"p"}
            assert world["a"].snapshot(0.0).reason == "unlike its group: HASH.SN"
            nursery.cancel_scope.cancel()

    async def test_who_has_no_serial_is_not_asked_for_one(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(
                nursery,
                "p",
                "a",
                serials={"a": "a"},
                action=LikenessAction.ENFORCE,
                probes=(),
                pin=SerialPin(serial="SN"),
            )
            await trio.sleep(10)
            assert Counter(request for _, request in world.scripted["a"].asked)[b"[AOHASH;]"] >= 1
            assert world.scripted["p"].asked == []
            assert world.serving == {"p", "a"}
            nursery.cancel_scope.cancel()
