from __future__ import annotations

from balancer.snapshot import GroupSnapshot
from balancer.view import group_snapshot
from config.model import Queue, Retries, Role
from tests.support.core import FakeGroup, device_settings

ONE = device_settings("a", role=Role.PRIMARY)


def shown(group: FakeGroup, wall_minus_clock: float = 0.0) -> GroupSnapshot:
    return group_snapshot(group.group, wall_minus_clock)


def waits(group: FakeGroup) -> tuple[int, float]:
    """How many waited, and how long in all."""
    duration = shown(group).queue_duration
    assert duration is not None
    return duration.count, round(duration.total, 6)


def test_who_finds_room_at_once_did_not_wait() -> None:
    group = FakeGroup(ONE).ready()
    asked = group.submit()
    group.wait(0.3)
    group.answer(group.upstream_of(asked))
    group.deadlines.expire(group.now)
    assert waits(group) == (0, 0)


def test_who_waits_for_room_is_counted_with_the_time_until_it_is_sent() -> None:
    group = FakeGroup(ONE).ready()
    first, second = group.submit(), group.submit()
    assert shown(group).queued == 1
    group.now += 0.25
    group.answer(group.upstream_of(first))
    group.now += 0.5
    group.answer(group.upstream_of(second))
    assert waits(group) == (1, 0.25)


def test_who_gives_up_waited_too() -> None:
    group = FakeGroup(ONE, queue=Queue(size=5, timeout=0.1)).ready()
    group.submit(code="GPKM")
    group.submit()
    group.wait(0.2)
    assert waits(group) == (1, 0.2)
    assert shown(group).queue_size == 5


def test_one_that_is_sent_again_did_not_wait() -> None:
    group = FakeGroup().ready()
    asked = group.submit()
    group.now += 0.3
    group.lose(group.upstream_of(asked))
    group.answer(group.upstream_of(asked))
    assert waits(group) == (0, 0)


def test_what_the_budget_has_left_and_what_it_refused() -> None:
    group = FakeGroup(retries=Retries(budget=0.0, reserve=1)).ready(connections=2)
    assert (shown(group).retries_left, shown(group).retries_refused) == (1.0, 0)
    for _ in range(2):
        asked = group.submit()
        group.lose(group.upstream_of(asked))
    assert (shown(group).retries_left, shown(group).retries_refused) == (0.0, 1)


def test_when_a_device_last_answered_a_ping() -> None:
    group = FakeGroup(ONE)
    assert shown(group).devices[0].last_ping_at is None
    group.now = 1234.0
    group["a"].tracker.ping_answered(0.002, group.now)
    group.now = 1300.0
    group["a"].tracker.ping_failed("silent", group.now)
    assert shown(group, 1_790_000_000.0).devices[0].last_ping_at == 1_790_001_234.0
