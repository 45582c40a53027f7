"""Devices that are asked whether they are alike, in virtual time, with scripted devices on socket pairs."""

from __future__ import annotations

import itertools
import socket

import pytest
import trio
from trio.testing import MockClock

from balancer.snapshot import Likeness, Will
from config.model import LikenessAction
from health.state import Health
from tests.support.probed import World, start


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


async def unsafe_without_serving(world: World) -> None:
    """The device `a` serves at no moment from now on until it is found unlike."""
    for _ in range(400):
        await trio.sleep(0.01)
        assert "a" not in world.serving
    assert world["a"].health is Health.UNSAFE


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

    async def test_what_it_showed_before_it_was_lost_says_nothing_of_who_came_back(
        self, autojump_clock: MockClock
    ) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a", action=LikenessAction.ENFORCE)
            await trio.sleep(10)
            scripted = world.scripted["a"]
            scripted.restarts_after = b"GPKM"  # the last probe of a check
            while scripted.restarts_after:
                await trio.sleep(0.1)
            await unsafe_without_serving(world)
            nursery.cancel_scope.cancel()

    async def test_who_is_connected_anew_is_not_taken_for_who_was_lost_just_before(
        self, autojump_clock: MockClock
    ) -> None:
        """That the others are gone is read before the new connection counts."""
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a", action=LikenessAction.ENFORCE)
            await trio.sleep(10)
            scripted, device = world.scripted["a"], world["a"]
            restarts = [scripted.restart_empty]

            async def restart_meanwhile() -> socket.socket:
                sock = await scripted.connect()
                for restart in (restarts.pop() for _ in tuple(restarts)):
                    restart()
                return sock

            device.keeper.reconnect_with(restart_meanwhile)
            next(iter(device.upstreams)).close("one is missing")
            assert "a" in world.serving
            while restarts:
                await trio.sleep(0.01)
            await unsafe_without_serving(world)
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

    async def test_a_reference_that_lost_its_table_while_it_was_asked_is_none_any_more(
        self, autojump_clock: MockClock
    ) -> None:
        """Asked again after that, it would be the standard, and all others unlike it."""
        async with trio.open_nursery() as nursery:
            world = await start(nursery, "p", "a", "b", action=LikenessAction.ENFORCE)
            await trio.sleep(10)
            world.group.writes.behind.done += 1  # what was seen before is no measure for what is seen now
            world.scripted["p"].restarts_after = b"GPKM"
            world.group.likeness.recheck(world["a"], trio.current_time())
            for _ in range(2000):
                await trio.sleep(0.01)
                assert world.serving >= {"a", "b"}
            assert world.events("device unlike") == ["p"]
            assert world["p"].health is Health.UNSAFE
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
