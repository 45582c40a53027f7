from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from random import Random

import pytest
import trio
from trio.testing import MockClock

from config.model import Ejection, Ping
from health.checker import Alarm, PingFailed, check
from health.state import Health
from health.tracker import HealthTracker


class Checked:
    """A device whose pings go as the test says, and when they went."""

    def __init__(self) -> None:
        self.tracker = HealthTracker(Ping(interval=2.0), Ejection(), Random(1))
        self.alarm = Alarm()
        self.asked: list[float] = []
        self.changes = 0
        self.outcome: Callable[[], Awaitable[float]] = self.good

    async def good(self) -> float:
        return 0.005

    async def failing(self) -> float:
        raise PingFailed("no answer")

    async def refused(self) -> float:
        raise PingFailed("nobody listens", for_certain=True)

    async def ping(self) -> float:
        self.asked.append(trio.current_time())
        return await self.outcome()

    def changed(self) -> None:
        self.changes += 1

    async def run(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await check(self.tracker, self.ping, self.changed, self.alarm, trio.current_time)


@pytest.fixture
def checked() -> Checked:
    return Checked()


async def test_the_first_good_ping_brings_it_up_and_is_told(checked: Checked, autojump_clock: MockClock) -> None:
    await checked.run(0.05)
    assert checked.tracker.health is Health.UP
    assert checked.tracker.last_ping == 0.005
    assert checked.changes == 1


async def test_pings_come_about_every_interval(checked: Checked, autojump_clock: MockClock) -> None:
    await checked.run(60.0)
    gaps = [later - sooner for sooner, later in itertools.pairwise(checked.asked)]
    assert all(1.8 <= gap <= 2.2 for gap in gaps)
    assert checked.changes == len(checked.asked)


async def test_failing_ones_bring_it_down_within_a_few_quarters_of_the_interval(
    checked: Checked, autojump_clock: MockClock
) -> None:
    await checked.run(0.05)
    checked.outcome = checked.failing
    await checked.run(1.5)
    assert checked.tracker.health is Health.DOWN


async def test_one_is_enough_where_nobody_listens(checked: Checked, autojump_clock: MockClock) -> None:
    checked.outcome = checked.refused
    await checked.run(0.05)
    assert checked.tracker.health is Health.DOWN


async def test_a_dead_device_is_asked_less_often_but_for_ever(checked: Checked, autojump_clock: MockClock) -> None:
    checked.outcome = checked.failing
    await checked.run(600.0)
    assert 60 <= len(checked.asked) <= 120
    assert checked.asked[-1] > 590.0


async def test_the_alarm_asks_at_once(checked: Checked, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checked.run, 1.5)
        await trio.sleep(0.5)
        checked.alarm.ring()
    assert len(checked.asked) == 2
    assert checked.asked[1] - checked.asked[0] == pytest.approx(0.5, abs=0.01)


async def test_however_often_it_rings_there_is_a_pause(checked: Checked, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checked.run, 1.0)
        for _ in range(1000):
            checked.alarm.ring()
            await trio.sleep(0.001)
    assert len(checked.asked) <= 11


async def test_a_ring_during_a_ping_is_not_lost(checked: Checked, autojump_clock: MockClock) -> None:
    async def slow() -> float:
        checked.alarm.ring()
        checked.outcome = checked.good
        return 0.005

    checked.outcome = slow
    await checked.run(0.15)
    assert len(checked.asked) == 2
