"""How long a start holds clients back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from balancer.snapshot import Will
from guardian.first_look import first_look
from tests.support.core import FakeGroup


async def held_back(group: FakeGroup, clock: MockClock, *happens: tuple[float, Callable[[], None]]) -> float:
    """Seconds, while ``happens`` does so at these moments."""
    start = clock.current_time()

    async def at(moment: float, what: Callable[[], None]) -> None:
        await trio.sleep(moment)
        what()

    async with trio.open_nursery() as nursery:
        for moment, what in happens:
            nursery.start_soon(at, moment, what)
        await first_look([group.group])
        took = clock.current_time() - start
        nursery.cancel_scope.cancel()
    return took


async def test_until_each_device_was_found_good_or_bad(autojump_clock: MockClock) -> None:
    group = FakeGroup()
    took = await held_back(group, autojump_clock, (0.3, lambda: group.up("a")), (0.5, lambda: group.down("b")))
    assert took == pytest.approx(0.5, abs=0.05)


async def test_one_failed_ping_is_enough(autojump_clock: MockClock) -> None:
    group = FakeGroup()
    group.up("a")
    failed = (1.0, lambda: group["b"].tracker.ping_failed("no answer", group.now))
    assert await held_back(group, autojump_clock, failed) == pytest.approx(1.0, abs=0.05)


async def test_not_for_long_and_not_for_those_that_nobody_wants(autojump_clock: MockClock) -> None:
    group = FakeGroup()
    group.up("a")
    assert await held_back(group, autojump_clock) == pytest.approx(2.0, abs=0.05)
    group["b"].will = Will.MAINT
    assert await held_back(group, autojump_clock) == 0
