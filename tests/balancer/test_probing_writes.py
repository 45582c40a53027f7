"""Checks beside writes, and serial numbers, in virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from balancer.intents import Intent
from balancer.snapshot import Likeness
from balancer.write import NoJournal
from config.model import LikenessAction, SerialPin
from tests.support.probed import A_WRITE, start


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
            world.group.writes.behind.done += 1
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
                    world.group.writes.behind.done += 1
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
            world.group.writes.behind.done += 1
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


class _OthersWrite(NoJournal):
    """Other processes write without a break, but for who has the turn."""

    def __init__(self) -> None:
        super().__init__()
        self.ours = False
        self.history.begin(Intent(number=1, code="GPKA", digest="", slot=None, devices=(), at=0.0))
        self.kept = dict(self.history._open)

    def take_turn(self, again: Callable[[], None]) -> bool:
        self.ours = True
        self.history._open.clear()
        return True

    def give_turn(self) -> None:
        self.ours = False
        self.history._open.update(self.kept)


@pytest.mark.parametrize("awaited", ["held", "behind"])
async def test_who_waits_to_be_shown_alike_is_compared_though_others_write_without_a_break(
    awaited: str, autojump_clock: MockClock
) -> None:
    """Else it would never serve, and would miss each write until they stop."""
    async with trio.open_nursery() as nursery:
        world = await start(nursery, "p", "a", action=LikenessAction.ENFORCE)
        await trio.sleep(5)
        journal = world.group.writes.behind.journal = _OthersWrite()
        if awaited == "held":
            world["a"].likeness.held = True
            world.group.likeness.recheck(world["a"], trio.current_time())
        else:
            world.group.likeness.fell_behind(world["a"], "key table behind", trio.current_time())
        world.group.changed(world["a"])
        assert "a" not in world.serving
        await trio.sleep(10)
        assert "a" in world.serving
        assert not journal.ours, "they may go on"
        asked = world.scripted["a"].count(b"GPKM")
        await trio.sleep(200)
        assert world.scripted["a"].count(b"GPKM") == asked, "who serves does not hold them up"
        nursery.cancel_scope.cancel()
