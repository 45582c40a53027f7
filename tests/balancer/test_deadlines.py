from __future__ import annotations

from balancer.snapshot import Outcome
from config.model import Ejection, Queue, Retries, Role
from health.state import Health
from tests.support.core import FakeGroup, device_settings

PRIMARY = device_settings("a", role=Role.PRIMARY)
TWO = (PRIMARY, device_settings("b"))
THREE = (PRIMARY, device_settings("b"), device_settings("c"))


class TestQueued:
    def test_who_waits_too_long_is_told_busy_and_nothing_was_sent(self) -> None:
        group = FakeGroup(PRIMARY, queue=Queue(timeout=1.0)).ready()
        first, waiting = group.submit(), group.submit()
        group.wait(0.99)
        assert waiting.ends == 0
        group.wait(0.02)
        assert waiting.outcome is Outcome.BUSY
        assert group.sent_count(waiting.exchange.request) == 0
        assert first.ends == 0

    def test_with_no_device_left_it_is_no_device(self) -> None:
        group = FakeGroup(PRIMARY, queue=Queue(timeout=1.0)).ready()
        first, waiting = group.submit(code="GPKD"), group.submit()
        group.lose(group.upstream_of(first))
        group.down("a")
        group.wait(1.1)
        assert waiting.outcome is Outcome.NO_DEVICE

    def test_who_waits_for_one_device_is_told_too(self) -> None:
        group = FakeGroup(*TWO, queue=Queue(timeout=1.0), retries=Retries(attempt_timeout=5.0)).ready()
        group.submit(code="HASH")
        waiting = group.submit(code="HASH")
        group.wait(1.1)
        assert waiting.outcome is Outcome.BUSY
        assert not group["a"].waiting

    def test_who_left_is_forgotten(self) -> None:
        group = FakeGroup(PRIMARY).ready()
        group.submit()
        gone = group.submit()
        gone.exchange.abandon()
        group.wait(0.02)
        assert not group.group.queue
        assert gone.ends == 0


class TestSent:
    def test_a_write_without_an_answer_times_out_and_takes_its_connection_along(self) -> None:
        group = FakeGroup(*TWO, request_timeout=10.0).ready()
        asked = group.submit(code="GPKD")
        upstream = group.upstream_of(asked)
        upstream.link.flush()  # type: ignore[attr-defined]
        group.wait(9.98)
        assert asked.ends == 0
        group.wait(0.03)
        assert asked.outcome is Outcome.TIMEOUT
        assert not upstream.link.open
        assert upstream.device.outcomes == {"timeout": 1}
        assert group.sent_count(asked.exchange.request) == 1
        assert group.outstanding == 0

    def test_a_slow_write_is_not_held_against_its_device_before(self) -> None:
        group = FakeGroup(*TWO).ready()
        asked = group.submit(code="GRSA")
        upstream = group.upstream_of(asked)
        upstream.link.flush()  # type: ignore[attr-defined]
        group.wait(5.0)
        assert not upstream.device.tracker.suspect
        group.answer(upstream)
        assert asked.outcome is Outcome.OK

    def test_a_silent_read_goes_to_another_device_too_and_once(self) -> None:
        group = FakeGroup(*THREE, retries=Retries(attempt_timeout=1.0)).ready()
        asked = group.submit()
        first = group.upstream_of(asked)
        group.flush()
        group.wait(0.99)
        assert len(group.upstreams_of(asked)) == 1
        group.wait(0.02)
        group.flush()
        group.wait(0.02)
        assert len(group.upstreams_of(asked)) == 2
        assert first.device.tracker.suspect
        second = next(upstream for upstream in group.upstreams_of(asked) if upstream is not first)
        assert second.device is not first.device
        group.answer(second)
        assert asked.outcome is Outcome.OK

    def test_a_silent_read_whose_second_device_is_lost_goes_to_a_third(self) -> None:
        group = FakeGroup(*THREE, retries=Retries(attempt_timeout=1.0)).ready()
        asked = group.submit()
        hung = group.upstream_of(asked)
        group.flush()
        group.wait(1.01)
        (lost,) = [upstream for upstream in group.upstreams_of(asked) if upstream is not hung]
        group.lose(lost)
        group.wait(0.02)
        (third,) = [upstream for upstream in group.upstreams_of(asked) if upstream is not hung]
        assert third.device not in (hung.device, lost.device)
        group.answer(third)
        assert asked.outcome is Outcome.OK

    def test_a_silent_read_of_one_device_goes_to_the_new_steady_one(self) -> None:
        group = FakeGroup(*THREE, retries=Retries(attempt_timeout=1.0)).ready()
        for _ in range(3):
            asked = group.submit(code="HASH")
            group.flush()
            hung = group.upstream_of(asked)
            group.wait(1.01)
            (second,) = [upstream for upstream in group.upstreams_of(asked) if upstream is not hung]
            assert second.device is group.group.scheduler.steady
            group.answer(second)
            group.answer(hung)
            group.up()

    def test_a_silent_read_finds_no_second_device_beyond_the_budget(self) -> None:
        group = FakeGroup(*TWO, retries=Retries(attempt_timeout=1.0, budget=0.0, reserve=0)).ready()
        asked = group.submit()
        group.flush()
        group.wait(2.0)
        assert len(group.upstreams_of(asked)) == 1

    def test_one_deadline_holds_for_all_attempts_together(self) -> None:
        group = FakeGroup(*TWO, request_timeout=10.0, retries=Retries(attempt_timeout=20.0)).ready()
        asked = group.submit()
        group.wait(8.0)
        group.lose(group.upstream_of(asked))
        group.flush()
        second = group.upstream_of(asked)
        group.wait(2.01)
        assert asked.outcome is Outcome.TIMEOUT
        group.answer(second)
        assert asked.ends == 1
        assert group.outstanding == 0

    def test_time_in_the_queue_counts(self) -> None:
        group = FakeGroup(PRIMARY, request_timeout=10.0, queue=Queue(timeout=20.0)).ready()
        first, second = group.submit(code="GRSA"), group.submit(code="GRSA")
        group.wait(5.0)
        group.answer(group.upstream_of(first))
        group.flush()
        group.wait(5.01)
        assert second.outcome is Outcome.TIMEOUT

    def test_one_silent_read_counts_once_against_its_device(self) -> None:
        group = FakeGroup(*TWO, ejection=Ejection(failures=2), request_timeout=60.0).ready()
        asked = group.submit()
        device = group.upstream_of(asked).device
        group.flush()
        group.wait(1.01)
        for _ in range(50):
            group.wait(0.02)
        assert device.health is Health.UP

    def test_a_device_that_leaves_reads_unanswered_is_ejected(self) -> None:
        group = FakeGroup(*TWO, ejection=Ejection(failures=3)).ready(connections=4)
        asked = [group.submit() for _ in range(6)]
        group.flush()
        for each in asked:
            if group.upstream_of(each).device is group["b"]:
                group.answer(group.upstream_of(each))
        group.wait(1.01)
        assert group["a"].health is Health.EJECTED
        for each in asked:
            if not each.ends:
                group.answer(next(up for up in group.upstreams_of(each) if up.device is group["b"]))
        assert {each.outcome for each in asked} == {Outcome.OK}

    def test_what_was_abandoned_does_not_stay_outstanding_for_ever(self) -> None:
        group = FakeGroup(*TWO, request_timeout=10.0).ready()
        gone = group.submit()
        group.flush()
        gone.exchange.abandon()
        group.wait(10.01)
        assert group.outstanding == 0
        assert gone.ends == 0


def test_an_ejection_ends_by_time() -> None:
    group = FakeGroup(*TWO, ejection=Ejection(base=30.0)).ready()
    group["a"].tracker.eject("tried", group.now)
    group.group.changed(group["a"])
    group.wait(29.9)
    assert group["a"].health is Health.EJECTED
    group.wait(0.2)
    assert group["a"].health is Health.PROBATION
    assert group["a"] in group.group.scheduler.trials
