from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from guardian.handshakes import Handshakes


class Door:
    """Whoever knocks shakes hands for as long as the test lets it, and says how that ended."""

    def __init__(self, most: int) -> None:
        self.handshakes = Handshakes(most)
        self.ended: dict[str, bool] = {}  # name -> whether it was cut off

    async def knock(self, name: str, address: str = "", timeout: float = 10.0) -> None:
        with self.handshakes.entered(address or name, timeout) as scope:
            await trio.sleep_forever()
        self.ended[name] = scope.cancelled_caught


async def test_one_that_takes_too_long_is_ended(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    door = Door(4)
    nursery.start_soon(door.knock, "slow")
    await trio.sleep(9.9)
    assert (len(door.handshakes), door.ended) == (1, {})
    await trio.sleep(0.2)
    assert (len(door.handshakes), door.ended) == (0, {"slow": True})


async def test_the_oldest_makes_room(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    door = Door(3)
    for n in range(5):
        nursery.start_soon(door.knock, f"10.0.0.{n}")
        await wait_all_tasks_blocked()
        assert len(door.handshakes) <= 3
    assert door.ended == {"10.0.0.0": True, "10.0.0.1": True}
    assert door.handshakes.crowded_out == 2
    nursery.cancel_scope.cancel()


async def test_one_address_holds_half_of_the_places_at_most(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    door = Door(4)
    nursery.start_soon(door.knock, "honest")
    for n in range(10):
        nursery.start_soon(door.knock, f"flood {n}", "10.0.0.9")
        await wait_all_tasks_blocked()
    assert "honest" not in door.ended
    assert len(door.handshakes) == 3
    nursery.cancel_scope.cancel()


async def test_places_are_given_back(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    handshakes = Handshakes(2)
    for _ in range(10):
        with handshakes.entered("10.0.0.1", 10.0):
            await trio.sleep(0.01)
    assert (len(handshakes), handshakes.crowded_out) == (0, 0)
    assert not handshakes._counts


async def test_room_is_made_on_demand_where_there_is_any(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    door = Door(4)
    assert not door.handshakes.make_room()
    nursery.start_soon(door.knock, "only")
    await wait_all_tasks_blocked()
    assert door.handshakes.make_room()
    await wait_all_tasks_blocked()
    assert door.ended == {"only": True}
    assert not door.handshakes.make_room()


async def test_a_lower_limit_is_reached_as_others_come(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    door = Door(6)
    for n in range(6):
        nursery.start_soon(door.knock, f"10.0.0.{n}")
    await wait_all_tasks_blocked()
    door.handshakes.most = 2
    for n in range(6, 12):
        nursery.start_soon(door.knock, f"10.0.0.{n}")
        await wait_all_tasks_blocked()
    assert len(door.handshakes) <= 6
    nursery.cancel_scope.cancel()


async def test_one_address_alone_may_hold_one_place_even_of_one(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    door = Door(1)
    for n in range(3):
        nursery.start_soon(door.knock, f"{n}", "10.0.0.1")
        await wait_all_tasks_blocked()
        assert len(door.handshakes) == 1
    nursery.cancel_scope.cancel()


async def test_more_are_accepted_when_the_crowd_is_smaller(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    handshakes = Handshakes(256)
    done = [await nursery.start(hold, handshakes, f"192.0.2.{number}") for number in range(64)]
    await nursery.start(wait_for_lull, handshakes, lulls := [])
    await wait_all_tasks_blocked()
    assert not lulls
    done[0].set()
    await wait_all_tasks_blocked()
    assert lulls == [0.0]
    nursery.cancel_scope.cancel()


async def test_a_crowd_that_does_not_move_is_waited_for_a_moment(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    handshakes = Handshakes(256)
    for number in range(64):
        await nursery.start(hold, handshakes, f"192.0.2.{number}")
    await wait_for_lull(handshakes, lulls := [])
    assert lulls == [pytest.approx(0.25)]
    nursery.cancel_scope.cancel()


async def test_who_is_flooded_does_not_wait(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    handshakes = Handshakes(100)
    for _ in range(70):  # of one address: twenty are pushed out by those that come
        await nursery.start(hold, handshakes, "192.0.2.1")
    for number in range(30):
        await nursery.start(hold, handshakes, f"192.0.2.{number + 2}")
    assert handshakes.crowded_out == 20
    await wait_for_lull(handshakes, lulls := [])
    await wait_for_lull(handshakes, lulls)
    assert lulls == [0.0, pytest.approx(0.25)], "once for each time that somebody was pushed out"
    nursery.cancel_scope.cancel()


async def hold(
    handshakes: Handshakes, address: str, *, task_status: trio.TaskStatus[trio.Event] = trio.TASK_STATUS_IGNORED
) -> None:
    done = trio.Event()
    with handshakes.entered(address, 10.0):
        task_status.started(done)
        await done.wait()


async def wait_for_lull(
    handshakes: Handshakes, lulls: list[float], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    started = trio.current_time()
    task_status.started()
    await handshakes.lull()
    lulls.append(trio.current_time() - started)
