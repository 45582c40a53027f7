"""A queue, and a slow device with room: who waits for the others is answered sooner."""

from __future__ import annotations

from tests.support.core import Asked, FakeGroup, device_settings


def learnt(slow: float) -> FakeGroup:
    """Two devices with one connection each; b takes ``slow`` seconds, a a millisecond, and both are known to."""
    group = FakeGroup(*(device_settings(name) for name in "ab")).ready(connections=1)
    for name, seconds in (("a", 0.001), ("b", slow)):
        for _ in range(3):
            group[name].costs.learn(b"ECHO", seconds)
    return group


def where(group: FakeGroup, asked: Asked) -> str:
    found = group.upstreams_of(asked)
    return found[0].device.name if found else "queue"


def crowd(group: FakeGroup, count: int) -> list[Asked]:
    """The first two find room; the others are queued."""
    return [group.submit() for _ in range(count)]


def freed(group: FakeGroup, name: str, seconds: float) -> None:
    """Time passes, and the device answers what it has."""
    group.now += seconds
    group.answer(next(iter(group[name].upstreams)))


def test_a_slow_device_is_left_alone_while_others_are_sooner_done() -> None:
    group = learnt(0.1)
    asked = crowd(group, 5)
    assert [where(group, each) for each in asked] == ["a", "b", "queue", "queue", "queue"]
    freed(group, "b", 0.001)
    assert where(group, asked[2]) == "queue"
    freed(group, "a", 0.0)
    assert where(group, asked[2]) == "a"
    assert where(group, group.submit()) == "queue", "who comes now does not pass them"


def test_it_gets_its_part_of_a_long_queue() -> None:
    group = learnt(0.02)
    asked = crowd(group, 102)
    freed(group, "b", 0.001)
    assert where(group, asked[2]) == "b"


def test_it_is_asked_when_they_have_waited_as_long_as_it_takes() -> None:
    group = learnt(0.1)
    asked = crowd(group, 5)
    freed(group, "b", 0.11)  # a is silent
    assert where(group, asked[2]) == "b"


def test_equal_devices_leave_nothing_waiting() -> None:
    group = learnt(0.0012)
    asked = crowd(group, 5)
    freed(group, "b", 0.001)
    assert where(group, asked[2]) == "b"


def test_it_is_asked_where_nobody_else_is_busy() -> None:
    group = learnt(0.1)
    asked = crowd(group, 4)
    group.lose(next(iter(group["a"].upstreams)))
    freed(group, "b", 0.001)
    assert "b" in [where(group, each) for each in asked]


def test_what_other_workers_have_there_does_not_make_a_device_slower() -> None:
    """It answers us as often as before: what is ours of all that is outstanding there."""
    group = learnt(0.02)
    asked = crowd(group, 10)
    group["a"].elsewhere, group["a"].work_elsewhere = 4, 0.004
    group["a"].work += 0.004
    freed(group, "b", 0.001)
    assert where(group, asked[2]) == "queue"
