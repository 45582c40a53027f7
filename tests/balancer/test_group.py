from __future__ import annotations

import attrs
import pytest

from balancer.snapshot import Outcome, Will
from balancer.view import group_snapshot
from config.model import Queue, Retries, Role
from health.state import Health
from tests.support.core import FakeGroup, device_settings

PRIMARY = device_settings("a", role=Role.PRIMARY)
TWO = (PRIMARY, device_settings("b"))
THREE = (PRIMARY, device_settings("b"), device_settings("c"))


class TestSubmitting:
    def test_the_request_leaves_on_one_connection_as_it_came(self) -> None:
        group = FakeGroup(*TWO).ready()
        group.submit(b"[AOECHO;AGhello]")
        group.flush()
        assert group.sent_count(b"[AOECHO;AGhello]") == 1
        assert group.outstanding == 1

    def test_nothing_in_service_is_said_at_once(self) -> None:
        group = FakeGroup(*TWO)
        assert group.submit().outcome is Outcome.NO_DEVICE
        assert group.submit(code="HASH").outcome is Outcome.NO_DEVICE

    @pytest.mark.parametrize("will", [Will.DRAIN, Will.MAINT])
    def test_the_operators_will_is_obeyed_even_if_nothing_is_left(self, will: Will) -> None:
        group = FakeGroup(PRIMARY).ready()
        group.group.set_will(group["a"], will)
        assert group.submit().outcome is Outcome.NO_DEVICE

    def test_what_finds_no_room_waits_and_the_first_comes_first(self) -> None:
        group = FakeGroup(PRIMARY).ready()
        asked = [group.submit() for _ in range(3)]
        for each in asked:
            assert group.outstanding == 1
            group.answer(group.upstream_of(each))
        assert [each.outcome for each in asked] == [Outcome.OK] * 3

    def test_a_full_queue_is_busy(self) -> None:
        group = FakeGroup(PRIMARY, queue=Queue(size=2)).ready()
        asked = [group.submit() for _ in range(4)]
        assert [each.outcome for each in asked] == [None, None, None, Outcome.BUSY]

    def test_no_queue_at_all_may_be_wanted(self) -> None:
        group = FakeGroup(PRIMARY, queue=Queue(size=0)).ready()
        assert [group.submit().outcome for _ in range(2)] == [None, Outcome.BUSY]

    def test_a_devices_limit_counts_over_all_its_connections(self) -> None:
        group = FakeGroup(device_settings("a", role=Role.PRIMARY, outstanding=2)).ready(connections=5)
        for _ in range(4):
            group.submit()
        assert group["a"].outstanding == 2
        assert len(group.group.queue) == 2

    def test_a_new_connection_takes_what_waits(self) -> None:
        group = FakeGroup(PRIMARY).ready()
        first, second = group.submit(), group.submit()
        (another,) = group.open("a")
        assert group.upstream_of(second) is another is not group.upstream_of(first)

    def test_a_device_that_comes_into_service_takes_what_waits(self) -> None:
        group = FakeGroup(*TWO)
        group.up("a")
        group.open("a")
        group.open("b")
        group.submit()
        waiting = group.submit()
        group.up("b")
        assert group.upstream_of(waiting).device is group["b"]

    def test_what_nobody_waits_for_any_more_is_not_sent(self) -> None:
        group = FakeGroup(PRIMARY).ready()
        first, gone, last = group.submit(), group.submit(), group.submit()
        gone.exchange.abandon()
        group.answer(group.upstream_of(first))
        group.answer(group.upstream_of(last))
        assert group.sent_count(gone.exchange.request) == 0
        assert group.outstanding == 0

    def test_an_answer_that_nobody_waits_for_any_more_frees_its_connection(self) -> None:
        group = FakeGroup(PRIMARY).ready()
        gone = group.submit()
        upstream = group.upstream_of(gone)
        gone.exchange.abandon()
        group.answer(upstream)
        assert gone.ends == 0
        assert group.outstanding == 0
        assert list(group["a"].free) == [upstream]

    def test_a_request_that_may_go_nowhere_yet_does_not_hold_up_those_that_may(self) -> None:
        """One that failed on a waits for b, which is full; a has room for the next."""
        group = FakeGroup(*TWO)
        group.up()
        (on_a,) = group.open("a")
        lost = group.submit()
        assert group.upstream_of(lost) is on_a
        group.open("b")
        group.submit()
        group.lose(on_a)
        assert list(group.group.queue) == [lost.exchange]
        group.up("a")
        group.open("a")
        assert group["a"].has_room
        new = group.submit()
        assert group.upstream_of(new).device is group["a"]


class TestLosses:
    @pytest.mark.parametrize("code", ["GPKD", "VPIN"])
    def test_lost_write_is_never_sent_again(self, code: str) -> None:
        group = FakeGroup(*TWO).ready()
        asked = group.submit(code=code)
        group.lose(group.upstream_of(asked))
        group.flush()
        assert asked.outcome is Outcome.UNKNOWN
        assert asked.ends == 1
        assert group.sent_count(asked.exchange.request) == 1

    def test_a_write_that_never_left_goes_elsewhere(self) -> None:
        group = FakeGroup(*TWO).ready()
        asked = group.submit(code="VPIN")
        first = group.upstream_of(asked)
        group.lose(first, written=False)
        assert group.upstream_of(asked).device is not first.device
        group.flush()
        assert group.sent_count(asked.exchange.request) == 1
        assert group.group.resending.counts == {"not_written": 1}

    @pytest.mark.parametrize("code", ["ECHO", "HASH"])
    def test_a_lost_read_goes_elsewhere_and_is_answered_once(self, code: str) -> None:
        group = FakeGroup(*TWO).ready()
        asked = group.submit(code=code)
        first = group.upstream_of(asked)
        group.lose(first)
        second = group.upstream_of(asked)
        assert second.device is not first.device
        group.answer(second)
        assert asked.outcome is Outcome.OK
        assert group.group.resending.counts == {"lost": 1}

    def test_a_read_is_not_sent_again_on_a_second_connection_of_the_same_lost_device(self) -> None:
        group = FakeGroup(*TWO).ready(connections=3)
        asked = [group.submit() for _ in range(4)]
        mine = [each for each in asked if group.upstream_of(each).device is group["a"]]
        for each in mine:
            group.lose(group.upstream_of(each))
        assert {group.upstream_of(each).device.name for each in asked if group.upstreams_of(each)} == {"b"}

    def test_a_read_is_sent_again_only_so_often(self) -> None:
        group = FakeGroup(*THREE, retries=Retries(attempts=2)).ready(connections=3)
        asked = group.submit()
        for _ in range(3):
            assert asked.ends == 0
            group.lose(group.upstream_of(asked))
        assert asked.outcome is Outcome.UNKNOWN

    def test_a_read_is_not_sent_again_beyond_the_budget(self) -> None:
        group = FakeGroup(*TWO, retries=Retries(budget=0.0, reserve=1)).ready(connections=2)
        first, second = group.submit(), group.submit()
        group.lose(group.upstream_of(first))
        group.lose(group.upstream_of(second))
        assert first.ends == 0
        assert second.outcome is Outcome.UNKNOWN

    def test_what_belongs_to_one_device_goes_to_the_new_steady_one_and_not_to_any(self) -> None:
        group = FakeGroup(*THREE).ready(connections=2)
        for _ in range(8):
            asked = group.submit(code="HASH")
            upstream = group.upstream_of(asked)
            assert upstream.device is group.group.scheduler.steady
            group.lose(upstream)
            if not asked.ends:
                again = group.upstream_of(asked)
                assert again.device is group.group.scheduler.steady
                group.answer(again)
            for device in ("a", "b", "c"):
                group.up(device)
                group.open(device)

    def test_where_the_new_steady_one_is_full_it_waits_there(self) -> None:
        group = FakeGroup(*THREE).ready()
        asked = group.submit(code="HASH")
        for _ in range(2):
            group.submit()
        assert [device.outstanding for device in group.group.devices] == [1, 1, 1]
        group.open("c")
        group.lose(group.upstream_of(asked))
        assert group.group.scheduler.steady is group["b"]
        assert list(group["b"].waiting) == [asked.exchange]
        group.answer(next(iter(group["b"].upstreams)))
        assert group.upstream_of(asked).device is group["b"]

    def test_a_lost_attempt_leaves_the_other_one_to_answer(self) -> None:
        group = FakeGroup(*TWO, retries=Retries(attempt_timeout=1.0)).ready()
        asked = group.submit()
        first = group.upstream_of(asked)
        first.link.flush()  # type: ignore[attr-defined]
        group.wait(1.1)
        (second,) = (upstream for upstream in group.upstreams_of(asked) if upstream is not first)
        group.lose(first)
        assert asked.ends == 0
        group.answer(second)
        assert asked.outcome is Outcome.OK
        assert group.outstanding == 0

    def test_an_answer_that_comes_after_anothers_changes_nothing(self) -> None:
        group = FakeGroup(*TWO, retries=Retries(attempt_timeout=1.0)).ready()
        asked = group.submit(b"[AOECHO;AG1;]")
        first = group.upstream_of(asked)
        first.link.flush()  # type: ignore[attr-defined]
        group.wait(1.1)
        (second,) = (upstream for upstream in group.upstreams_of(asked) if upstream is not first)
        group.answer(second, b"[AOECHO;AG1;BBsecond;]")
        group.answer(first, b"[AOECHO;AG1;BBfirst;]")
        assert asked.answer == b"[AOECHO;AG1;BBsecond;]"
        assert asked.ends == 1
        assert group.outstanding == 0

    def test_a_ping_is_never_sent_elsewhere_nor_counted_as_a_request(self) -> None:
        group = FakeGroup(*TWO).ready()
        ping = group.exchange(b"[AOECHO;AGping;]", [], ping=True)
        ended = []
        ping.done = lambda exchange: ended.append(exchange.outcome)
        group.group.send_ping(group["a"], ping, group.now)
        (upstream,) = group["a"].upstreams
        group.lose(upstream)
        assert ended == [Outcome.UNKNOWN]
        assert group["a"].outcomes == {}
        assert group["a"].tracker.suspect

    def test_a_connection_of_no_use_is_told_to_the_keeper(self) -> None:
        group = FakeGroup(*TWO).ready()
        (upstream,) = group["a"].upstreams
        group.lose(upstream)
        assert group.keepers[group["a"]].unused == 1


class TestBelief:
    def test_the_first_lost_connection_makes_the_device_suspect(self) -> None:
        group = FakeGroup(*TWO).ready(connections=2)
        group.lose(next(iter(group["a"].upstreams)))
        assert group.group.scheduler.serving == (group["b"],)
        group.up("a")
        assert set(group.group.scheduler.serving) == {group["a"], group["b"]}

    def test_the_last_device_is_never_ejected(self) -> None:
        group = FakeGroup(PRIMARY).ready(connections=20)
        for _ in range(10):
            asked = group.submit()
            group.lose(group.upstream_of(asked))
        assert group["a"].health is Health.UP

    def test_a_device_whose_requests_fail_is_ejected_and_proved_by_one_real_read(self) -> None:
        group = FakeGroup(*TWO).ready(connections=20)
        for _ in range(5):
            group.up("a")
            while group.upstream_of(asked := group.submit(code="VPIN")).device is not group["a"]:
                group.answer(group.upstream_of(asked))
            group.lose(group.upstream_of(asked))
        assert group["a"].health is Health.EJECTED
        assert group.group.scheduler.serving == (group["b"],)
        group.wait(31.0)
        assert group["a"].health is Health.PROBATION
        write = group.submit(code="VPIN")
        assert group.upstream_of(write).device is group["b"], "a write is no trial"
        trial = group.submit()
        others = [group.submit() for _ in range(4)]
        assert group.upstream_of(trial).device is group["a"]
        assert {group.upstream_of(other).device for other in others} == {group["b"]}, "one at a time"
        group.up("a")
        assert group["a"].health is Health.PROBATION, "pings prove nothing"
        group.answer(group.upstream_of(trial), b"[AOERRO;AM1;AG%b;]" % (trial.exchange.context or b""))
        assert group["a"].health is Health.PROBATION, "an error proves nothing"
        trial = group.submit()
        group.answer(group.upstream_of(trial))
        assert group["a"].health is Health.UP

    def test_an_error_answer_is_no_failure_of_the_device(self) -> None:
        group = FakeGroup(*TWO).ready()
        for n in range(50):
            asked = group.submit(b"[AOECHO;AG%d;]" % n)
            group.answer(group.upstream_of(asked), b"[AOERRO;AM34;ANAO;BBINVALID TOKEN;AG%d;]" % n)
            assert asked.outcome is Outcome.DEVICE_ERROR
            assert asked.answer is not None
        assert len(group.group.scheduler.serving) == 2

    def test_a_device_that_answers_errors_where_its_peers_do_not_is_ejected(self) -> None:
        group = FakeGroup(*TWO).ready()
        for _ in range(100):
            asked = group.submit()
            upstream = group.upstream_of(asked)
            bad = upstream.device is group["a"]
            group.answer(upstream, b"[AOERRO;AM1;AG%b;]" % (asked.exchange.context or b"") if bad else None)
        group.wait(5.1)
        assert group["a"].health is Health.EJECTED
        assert group["b"].health is Health.UP

    def test_costs_are_learnt_of_known_commands_only(self) -> None:
        """Else a client could fill the memory with codes of its own."""
        group = FakeGroup(PRIMARY).ready()
        pin = group.pin()
        assert pin is not None
        group.open_private("a")
        for code in ("ZZZ1", "ZZZ2", "ECHO"):
            group.answer(group.upstream_of(group.submit_pinned(pin, code=code)))
        assert b"ECHO" in group["a"].usual
        assert b"ZZZ1" not in group["a"].usual


class TestWill:
    def test_maintenance_moves_reads_and_leaves_writes_in_doubt(self) -> None:
        group = FakeGroup(*TWO).ready(connections=2)
        reads = [group.submit(), group.submit()]
        writes = [group.submit(code="VPIN"), group.submit(code="VPIN")]
        group.flush()
        on_a = [each for each in reads + writes if group.upstream_of(each).device is group["a"]]
        group.group.set_will(group["a"], Will.MAINT)
        assert group["a"].outstanding == 0
        assert not group["a"].upstreams
        assert [each.outcome for each in on_a if each in writes] == [Outcome.UNKNOWN]
        for each in reads:
            assert each.ends == 0
        assert group["a"].health is Health.UNKNOWN, "it has to answer a ping again"

    def test_draining_lets_end_what_is_outstanding(self) -> None:
        group = FakeGroup(*TWO).ready()
        asked = group.submit()
        upstream = group.upstream_of(asked)
        group.group.set_will(upstream.device, Will.DRAIN)
        assert group.upstream_of(group.submit()).device is not upstream.device
        group.answer(upstream)
        assert asked.outcome is Outcome.OK
        assert upstream.device.empty

    def test_what_waits_for_its_one_device_moves_with_that_role(self) -> None:
        group = FakeGroup(*TWO).ready()
        group.submit(code="HASH")
        waiting = group.submit(code="HASH")
        assert list(group["a"].waiting) == [waiting.exchange]
        group.group.set_will(group["a"], Will.DRAIN)
        assert group.upstream_of(waiting).device is group["b"]
        assert not group["a"].waiting


class TestOneDevicesAnswers:
    def test_they_come_from_the_primary_while_it_serves(self) -> None:
        group = FakeGroup(*THREE).ready(connections=4)
        assert {group.upstream_of(group.submit(code="STAT")).device.name for _ in range(4)} == {"a"}

    def test_their_queue_is_bounded_too(self) -> None:
        group = FakeGroup(*TWO, queue=Queue(size=1)).ready()
        assert [group.submit(code="HASH").outcome for _ in range(3)] == [None, None, Outcome.BUSY]


def test_a_backup_serves_for_a_lost_device_and_rests_again() -> None:
    group = FakeGroup(*TWO, device_settings("spare", role=Role.BACKUP)).ready()
    assert set(group.group.scheduler.serving) == {group["a"], group["b"]}
    group.down("b")
    assert group["spare"] in group.group.scheduler.serving
    assert group.group.failovers == 1
    group.up("b")
    trial = group.submit()
    assert group.upstream_of(trial).device is group["b"]
    group.answer(group.upstream_of(trial))
    assert set(group.group.scheduler.serving) == {group["a"], group["b"]}


def test_a_lower_pipeline_after_a_reload_is_kept() -> None:
    group = FakeGroup(device_settings("a", role=Role.PRIMARY, pipeline=3)).ready()
    asked = [group.submit() for _ in range(3)]
    group["a"].configure(attrs.evolve(group["a"].settings, pipeline=1))
    waiting = group.submit()
    group.answer(group.upstream_of(asked[0]))
    assert not group.upstreams_of(waiting)
    assert not group["a"].free
    for each in asked[1:]:
        group.answer(group.upstream_of(each))
    assert group.upstreams_of(waiting)


def test_a_snapshot_counts_what_there_is() -> None:
    group = FakeGroup(*TWO).ready()
    asked = group.submit()
    snapshot = group_snapshot(group.group, 0.0)
    assert [device.outstanding for device in snapshot.devices] == [device.outstanding for device in group.group.devices]
    assert sum(device.outstanding for device in snapshot.devices) == 1
    group.answer(group.upstream_of(asked))
    snapshot = group_snapshot(group.group, 0.0)
    assert sum(device.requests for device in snapshot.devices) == 1
    assert snapshot.usable
    assert snapshot.queued == 0
