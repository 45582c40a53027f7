from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from guardian.handshakes import Handshakes


class Knocking:
    """Whoever knocks shakes hands until it is given up."""

    def __init__(self) -> None:
        self.given_up = 0
        self.closed = 0

    def give_up(self) -> None:
        self.given_up += 1

    def close(self) -> None:
        self.closed += 1


class Door:
    def __init__(self, most: int) -> None:
        self.handshakes = Handshakes(most)
        self.knocking: dict[str, Knocking] = {}

    def knock(self, name: str, address: str = "", deadline: float = 10.0) -> Knocking:
        one = self.knocking[name] = Knocking()
        self.handshakes.enter(one, address or name, deadline)
        return one

    @property
    def ended(self) -> list[str]:
        assert all(one.given_up <= 1 for one in self.knocking.values())
        return [name for name, one in self.knocking.items() if one.given_up]


def test_one_that_takes_too_long_is_ended() -> None:
    door = Door(4)
    door.knock("slow")
    door.knock("slower", deadline=20.0)
    door.handshakes.expire(9.9)
    assert (len(door.handshakes), door.ended) == (2, [])
    door.handshakes.expire(10.0)
    assert (len(door.handshakes), door.ended) == (1, ["slow"])
    door.handshakes.expire(19.9)
    assert len(door.handshakes) == 1
    door.handshakes.expire(20.1)
    assert door.ended == ["slow", "slower"]
    door.handshakes.expire(30.0)
    assert door.handshakes.crowded_out == 0


def test_the_oldest_makes_room() -> None:
    door = Door(3)
    for n in range(5):
        door.knock(f"10.0.0.{n}")
        assert len(door.handshakes) <= 3
    assert door.ended == ["10.0.0.0", "10.0.0.1"]
    assert door.handshakes.crowded_out == 2


def test_one_address_holds_half_of_the_places_at_most() -> None:
    door = Door(4)
    door.knock("honest")
    for n in range(10):
        door.knock(f"flood {n}", "10.0.0.9")
    assert "honest" not in door.ended
    assert len(door.handshakes) == 3


def test_places_are_given_back() -> None:
    door = Door(2)
    for _ in range(10):
        one = door.knock("10.0.0.1")
        door.handshakes.left(one)
        door.handshakes.left(one)  # again changes nothing
    assert (len(door.handshakes), door.handshakes.crowded_out) == (0, 0)
    assert not door.handshakes._counts


def test_who_is_given_up_may_leave_as_well() -> None:
    door = Door(1)
    first = door.knock("first")
    door.knock("second")
    door.handshakes.left(first)
    assert (len(door.handshakes), door.ended) == (1, ["first"])


def test_room_is_made_on_demand_where_there_is_any() -> None:
    door = Door(4)
    assert not door.handshakes.make_room()
    door.knock("only")
    assert door.handshakes.make_room()
    assert door.ended == ["only"]
    assert not door.handshakes.make_room()


def test_a_lower_limit_is_reached_as_others_come() -> None:
    door = Door(6)
    for n in range(6):
        door.knock(f"10.0.0.{n}")
    door.handshakes.most = 2
    for n in range(6, 12):
        door.knock(f"10.0.0.{n}")
    assert len(door.handshakes) <= 6


def test_one_address_alone_may_hold_one_place_even_of_one() -> None:
    door = Door(1)
    for n in range(3):
        door.knock(f"{n}", "10.0.0.1")
        assert len(door.handshakes) == 1


def test_everybody_is_taken_out_without_being_given_up() -> None:
    door = Door(4)
    for n in range(3):
        door.knock(f"10.0.0.{n}")
    assert len(door.handshakes.leave_all()) == 3
    assert (len(door.handshakes), door.ended, door.handshakes.crowded_out) == (0, [], 0)


async def test_the_last_one_is_waited_for(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    door = Door(4)
    await door.handshakes.over()  # nobody is there
    ones = [door.knock("first"), door.knock("second")]
    done = trio.Event()

    async def wait() -> None:
        await door.handshakes.over()
        done.set()

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    door.handshakes.left(ones[0])
    await wait_all_tasks_blocked()
    assert not done.is_set()
    door.handshakes.left(ones[1])
    await done.wait()


async def test_more_are_accepted_when_the_crowd_is_smaller(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    door = Door(256)
    ones = [door.knock(f"192.0.2.{number}") for number in range(64)]
    await nursery.start(wait_for_lull, door.handshakes, lulls := [])
    await wait_all_tasks_blocked()
    assert not lulls
    door.handshakes.left(ones[0])
    await wait_all_tasks_blocked()
    assert lulls == [0.0]


async def test_a_crowd_that_does_not_move_is_waited_for_a_moment(autojump_clock: MockClock) -> None:
    door = Door(256)
    for number in range(64):
        door.knock(f"192.0.2.{number}")
    await wait_for_lull(door.handshakes, lulls := [])
    assert lulls == [pytest.approx(0.25)]


async def test_who_is_flooded_does_not_wait(autojump_clock: MockClock) -> None:
    door = Door(100)
    for number in range(70):  # of one address: twenty are pushed out by those that come
        door.knock(f"flood {number}", "192.0.2.1")
    for number in range(30):
        door.knock(f"192.0.2.{number + 2}")
    assert door.handshakes.crowded_out == 20
    await wait_for_lull(door.handshakes, lulls := [])
    await wait_for_lull(door.handshakes, lulls)
    assert lulls == [0.0, pytest.approx(0.25)], "once for each time that somebody was pushed out"


async def wait_for_lull(
    handshakes: Handshakes, lulls: list[float], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    started = trio.current_time()
    task_status.started()
    await handshakes.lull()
    lulls.append(trio.current_time() - started)
