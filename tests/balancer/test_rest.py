"""Writes rest for a moment, in all processes, so that a device can be shown to be like the others."""

from __future__ import annotations

from config.model import Queue
from tests.balancer.test_writes_in_line import THREE, Two
from tests.support.replicas import Asked, Replicas


def run(group: Replicas, asked: Asked) -> None:
    for name in "abc":
        group.run(name, asked)


def ask(group: Replicas, who: object = "prober") -> bool:
    return group.group.writes.rest.ask(who, group.now, 1.0)


def end(group: Replicas, who: object = "prober") -> None:
    group.group.writes.rest.end(who, group.now)


def test_it_begins_when_the_write_under_way_has_ended_and_holds_up_all_that_follow() -> None:
    both = Two()
    one, two = both.groups
    first = one.write()
    later, elsewhere = one.write(), two.write()
    assert not ask(one)
    both.wait(0.02)
    run(one, first)
    both.wait(0.04)
    while not ask(one):  # whoever was in line before it goes first
        assert two.where(elsewhere) == ["a"]
        run(two, elsewhere)
        both.wait(0.02)
    both.wait(0.2)
    last = two.write()
    both.wait(0.1)
    assert one.where(later) == two.where(last) == []
    end(one)
    both.wait(0.02)
    assert two.where(last) == ["a"], "who waits elsewhere comes first"
    assert one.where(later) == []


def test_it_is_bounded_and_followed_by_a_longer_time_without() -> None:
    both = Two()
    one, two = both.groups
    assert ask(one)
    later, elsewhere = one.write(), two.write()
    both.wait(0.4)
    assert one.where(later) == two.where(elsewhere) == []
    both.wait(0.2)
    assert (one.where(later) or two.where(elsewhere)) == ["a"]
    for _ in range(2):
        if one.where(later):
            run(one, later)
        if two.where(elsewhere):
            run(two, elsewhere)
        both.wait(0.02)
    assert ask(one), "nothing is written"
    third = two.write()
    assert two.where(third) == ["a"], "but nobody rests for it so soon"
    run(two, third)
    both.wait(2.1)
    assert ask(one)
    fourth = two.write()
    both.wait(0.1)
    assert two.where(fourth) == []


def test_it_lasts_until_the_last_who_asked_has_ended_it() -> None:
    both = Two()
    one, _ = both.groups
    assert ask(one, "a")
    assert ask(one, "b")
    asked = one.write()
    end(one, "a")
    assert one.where(asked) == []
    end(one, "b")
    assert one.where(asked) == ["a"]
    end(one, "b")  # nothing happens


def test_a_process_by_itself_rests_too_and_half_as_long_as_its_writes_may_wait() -> None:
    group = Replicas(*THREE, queue=Queue(timeout=0.4)).ready()
    assert isinstance(group, Replicas)
    assert group.group.writes.rest.ask("prober", group.now, 0.4)
    asked = group.write()
    group.wait(0.18)
    assert group.where(asked) == []
    group.wait(0.04)
    assert group.where(asked) == ["a"]


def test_who_asked_and_was_given_the_turn_later_keeps_it_until_he_asks_again() -> None:
    both = Two()
    one, two = both.groups
    first = two.write()
    assert not ask(one)
    both.wait(0.02)
    run(two, first)
    both.wait(0.06)
    second = two.write()
    both.wait(0.02)
    assert two.where(second) == []
    assert ask(one)
    end(one)
    both.wait(0.02)
    assert two.where(second) == ["a"]


def test_who_gives_up_before_it_was_granted_leaves_the_line() -> None:
    both = Two()
    one, two = both.groups
    first = two.write()
    assert not ask(one)
    end(one)
    both.wait(0.02)
    run(two, first)
    both.wait(0.02)
    second = two.write()
    assert two.where(second) == ["a"]
