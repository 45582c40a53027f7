"""How long a write waits for the turn of other processes, a verdict, and its device: each in a time of its own."""

from __future__ import annotations

from balancer.snapshot import Outcome
from config.model import Queue, Role
from tests.support.common_journal import CommonFile, CommonJournal
from tests.support.replicas import Replicas, device_settings

THREE = (device_settings("a", role=Role.PRIMARY), device_settings("b"), device_settings("c"))


class Two:
    """Two processes before the same devices, with one order of writes and one clock."""

    def __init__(self, timeout: float = 1.0) -> None:
        self.file = CommonFile()
        self.groups = []
        for _ in range(2):
            group = Replicas(*THREE, queue=Queue(timeout=timeout)).ready()
            assert isinstance(group, Replicas)
            group.group.writes.adopt(CommonJournal(self.file), 0, {}, group.now)
            self.groups.append(group)

    def wait(self, seconds: float) -> None:
        """In looks as small as the real ones."""
        for _ in range(round(seconds / 0.02)):
            self.file.settle()
            for group in self.groups:
                group.flush()
                group.wait(0.02)
        self.file.settle()

    def verdict_missing(self, missing: bool) -> None:
        """Whether a device is looked at, for which writes of both wait."""
        for group in self.groups:
            group["b"].likeness.held = missing
            group.group.changed(group["b"])


def test_who_waited_for_a_verdict_has_its_whole_time_for_the_turn_too() -> None:
    """Else, where a verdict takes as long as a write may wait, all processes but one would have nothing left."""
    both = Two()
    both.verdict_missing(True)
    one, two = both.groups
    first, second = one.write(), two.write()
    both.wait(1.1)
    assert one.where(first) == ["a"]
    assert second.outcome is None
    both.wait(0.5)
    one.run("a", first)
    one.run("c", first)
    both.wait(0.1)
    assert first.outcome is Outcome.OK
    assert two.where(second) == ["a"]


def test_who_waited_for_a_write_of_its_own_process_has_it_too() -> None:
    both = Two()
    one, two = both.groups
    first, later = one.write(), one.write()
    both.wait(0.1)
    second = two.write()
    both.wait(0.8)
    for name in "abc":
        one.run(name, first)
    both.wait(0.02)
    assert two.where(second) == ["a"], "who is in line goes first"
    both.wait(0.5)
    assert later.outcome is None, "it waits longer in all, but for the turn not yet as long as it may"
    for name in "abc":
        two.run(name, second)
    both.wait(0.02)
    assert one.where(later) == ["a"]


def test_the_turn_is_waited_for_as_long_as_a_queue_allows_and_no_longer() -> None:
    both = Two()
    one, two = both.groups
    first = one.write()
    second = two.write()
    both.wait(0.9)
    assert second.outcome is None
    both.wait(0.2)
    assert second.outcome is Outcome.BUSY
    assert len(two.group.writes.queue) == 0
    for name in "abc":
        one.run(name, first)
    both.wait(0.1)
    assert two.sent_count(second.exchange.request) == 0, "what was answered is not sent later"
    third = two.write()
    both.wait(0.1)
    assert two.where(third) == ["a"]


def test_the_next_in_a_queue_has_its_own_time_for_the_turn() -> None:
    both = Two()
    one, two = both.groups
    first = one.write()
    both.wait(0.02)
    second = two.write()
    both.wait(0.5)
    third = two.write()
    both.wait(0.6)
    assert second.outcome is Outcome.BUSY
    both.wait(0.6)
    assert third.outcome is None, "it has waited for the turn since the one before it was given up"
    both.wait(0.5)
    assert third.outcome is Outcome.BUSY
    assert first.outcome is None


def test_nobody_waits_longer_than_a_request_may_take() -> None:
    both = Two(timeout=8.0)
    both.verdict_missing(True)
    one, two = both.groups
    first, second = one.write(), two.write()
    both.wait(8.2)
    assert one.where(first) == ["a"]
    both.wait(1.9)
    assert second.outcome is Outcome.BUSY


def test_nor_in_the_queue_where_that_may_take_longer() -> None:
    both = Two(timeout=20.0)
    one, _ = both.groups
    first, second = one.write(), one.write()
    both.wait(5)
    one.run("a", first)
    both.wait(5.1)
    assert second.outcome is Outcome.BUSY
    assert one.where(first) == ["b", "c"], "it is still under way"


def test_who_waited_for_a_verdict_may_still_wait_for_room_on_its_device() -> None:
    """With one process too."""
    group = Replicas(*THREE, queue=Queue(timeout=1.0)).ready()
    assert isinstance(group, Replicas)
    read = group.submit(code="HASH")
    group["b"].likeness.held = True
    group.group.changed(group["b"])
    asked = group.write()
    for _ in range(60):
        group.wait(0.02)
    assert asked.outcome is None
    upstream = group.at("a", read)
    assert upstream is not None
    group.answer(upstream)
    assert group.where(asked) == ["a"]
