"""What one write does, step by step; what holds whatever happens is in test_writes_machine."""

from __future__ import annotations

import pytest

from balancer.snapshot import Outcome, Will
from balancer.view import group_snapshot
from config.model import PrimaryLoss, Queue, Role, Writes
from health.state import Health
from tests.support.replicas import Replicas, device_settings

PRIMARY = device_settings("a", role=Role.PRIMARY)
THREE = (PRIMARY, device_settings("b"), device_settings("spare", role=Role.BACKUP))
PROMOTE = Writes(primary_loss=PrimaryLoss.PROMOTE)


def replicas(writes: Writes | None = None, **settings: object) -> Replicas:
    return Replicas(*THREE, writes=writes, **settings).ready()  # type: ignore[return-value]


class TestTheWayOfAWrite:
    def test_it_goes_to_the_primary_then_to_production_then_to_backups(self) -> None:
        group = replicas()
        asked = group.write()
        assert group.where(asked) == ["a"]
        group.run("a", asked)
        assert group.where(asked) == ["b"]
        group.run("b", asked)
        assert group.where(asked) == ["spare"]
        assert asked.outcome is None, "not every device has it"
        group.run("spare", asked)
        assert asked.outcome is Outcome.OK
        assert asked.ends == 1
        assert [group.ran[name] for name in ("a", "b", "spare")] == [[asked.exchange.request]] * 3
        assert group.behind() == set()
        assert group.group.writes.results == {"ok": 1}

    def test_production_devices_get_it_at_once_beside_each_other(self) -> None:
        group = Replicas(PRIMARY, device_settings("b"), device_settings("c")).ready()
        asked = group.write()
        group.run("a", asked)
        assert group.where(asked) == ["b", "c"]

    def test_the_next_begins_when_the_last_device_has_this_one(self) -> None:
        group = replicas()
        first, second = group.write(), group.write()
        for name in ("a", "b", "spare"):
            assert group.where(second) == []
            group.run(name, first)
        assert group.where(second) == ["a"]

    def test_the_primarys_answer_is_the_clients(self) -> None:
        group = replicas()
        asked = group.write(request=b"[AOTIME;AG1;]")
        group.run("a", asked, b"[AOTIME;AG1;TM1;]")
        group.run("b", asked, b"[AOTIME;AG1;TM2;]")  # a clock is not the same on two devices
        group.run("spare", asked, b"[AOTIME;AG1;TM3;]")
        assert asked.answer == b"[AOTIME;AG1;TM1;]"
        assert group.behind() == set()

    def test_reads_go_on_meanwhile(self) -> None:
        group = replicas()
        group.write()
        read = group.submit()
        group.answer(group.upstream_of(read))
        assert read.outcome is Outcome.OK

    def test_a_client_that_has_left_is_not_written_for_but_what_was_begun_is_ended(self) -> None:
        group = replicas()
        begun, waiting = group.write(), group.write()
        begun.exchange.abandon()
        waiting.exchange.abandon()
        for name in ("a", "b", "spare"):
            group.run(name, begun)
        assert group.ran["a"] == [begun.exchange.request]
        assert group.group.writes.current is None

    def test_a_device_that_is_suspected_gets_it_too(self) -> None:
        group = replicas()
        group["b"].tracker.doubt()
        group.group.changed(group["b"])
        assert not group["b"].serving
        asked = group.write()
        group.run("a", asked)
        assert group.where(asked) == ["b"]


class TestQuorum:
    @pytest.mark.parametrize(("quorum", "after"), [("all", 3), ("majority", 2), ("1", 1), ("2", 2), ("3", 3)])
    def test_the_client_hears_of_it_when_so_many_have_it(self, quorum: str, after: int) -> None:
        group = replicas(Writes(quorum=quorum))
        asked = group.write()
        for count, name in enumerate(("a", "b", "spare"), 1):
            group.run(name, asked)
            assert (asked.outcome is Outcome.OK) == (count >= after)

    def test_one_that_cannot_be_reached_is_refused_before_anything_is_sent(self) -> None:
        group = replicas(Writes(quorum="3"))
        group.down("b")
        asked = group.write()
        assert asked.outcome is Outcome.NO_DEVICE
        assert group.sent_count(asked.exchange.request) == 0
        assert group.behind() == set()

    def test_all_means_all_that_are_in_sync_when_it_begins(self) -> None:
        group = replicas()
        group.down("b")
        asked = group.write()
        group.run("a", asked)
        group.run("spare", asked)
        assert asked.outcome is Outcome.OK
        assert group.behind() == {"b"}

    def test_all_leaves_out_who_is_lost_on_the_way(self) -> None:
        """It serves nothing any more: everybody who does has the write."""
        group = replicas()
        asked = group.write()
        group.run("a", asked)
        group.cut("b", asked)
        assert asked.outcome is None
        group.run("spare", asked)
        assert asked.outcome is Outcome.OK
        assert group.behind() == {"b"}

    def test_a_number_that_is_missed_on_the_way_leaves_the_client_in_doubt(self) -> None:
        group = replicas(Writes(quorum="3"))
        asked = group.write()
        group.run("a", asked)
        group.cut("b", asked)
        assert asked.outcome is Outcome.UNKNOWN
        assert group.where(asked) == ["spare"], "the others get it all the same"
        group.run("spare", asked)
        assert group.behind() == {"b"}
        assert group.group.writes.results == {"short": 1}

    def test_a_majority_bears_the_loss_of_one(self) -> None:
        group = replicas(Writes(quorum="majority"))
        asked = group.write()
        group.run("a", asked)
        group.cut("b", asked)
        group.run("spare", asked)
        assert asked.outcome is Outcome.OK

    def test_who_has_not_got_it_when_success_is_told_serves_nothing_until_it_has(self) -> None:
        group = replicas(Writes(quorum="1"))
        asked = group.write()
        group.run("a", asked)
        assert asked.outcome is Outcome.OK
        assert [device.name for device in group.group.scheduler.serving] == ["a"]
        assert group.group.scheduler.active_backups == frozenset()
        group.run("b", asked)
        assert [device.name for device in group.group.scheduler.serving] == ["a", "b"]
        group.refuse("spare", asked)
        assert not any(device.lagging for device in group.group.devices)

    def test_where_all_must_have_it_nobody_is_held_back(self) -> None:
        group = replicas()
        group.run("a", group.write())
        assert [device.name for device in group.group.scheduler.serving] == ["a", "b"]


class TestBehind:
    def test_a_refusal_of_the_primary_is_the_clients_answer_and_nothing_is_repeated(self) -> None:
        group = replicas()
        asked = group.write()
        group.refuse("a", asked)
        assert asked.outcome is Outcome.DEVICE_ERROR
        assert group.where(asked) == []
        assert group.behind() == set()
        assert group.group.writes.done == 0

    @pytest.mark.parametrize("how", ["refuses", "differs", "is lost", "is lost before it was written", "is silent"])
    def test_a_device_that_has_not_done_the_same_is_behind_and_serves_nothing(self, how: str) -> None:
        group = replicas()
        asked = group.write()
        group.run("a", asked)
        if how == "refuses":
            group.refuse("b", asked)
        elif how == "differs":
            group.run("b", asked, b"[AOGPKD;AG%b;BBN;]" % (asked.exchange.context or b""))
        elif how == "is silent":
            for _ in range(11):
                group.wait(1.0)
        else:
            group.cut("b", asked, written=how == "is lost")
        assert group["b"].health is Health.UNSAFE
        assert group["b"].tracker.reason.startswith("key table behind: it ")
        assert "write 1 (GPKD)" in group["b"].tracker.reason
        assert not group["b"].serving
        assert ("device behind", "b") in [(event, facts.get("device")) for event, facts in group.told]

    def test_who_is_behind_gets_no_further_write_until_it_is_shown_equal(self) -> None:
        group = replicas()
        first = group.write()
        group.run("a", first)
        group.refuse("b", first)
        group.run("spare", first)
        second = group.write()
        group.run("a", second)
        assert group.where(second) == ["spare"]
        group.run("spare", second)
        group.show_equal("b")
        third = group.write()
        group.run("a", third)
        assert group.where(third) == ["b"]
        assert group.group.writes.snapshot().behind == {}

    def test_a_device_that_was_away_is_behind_although_it_never_saw_the_write(self) -> None:
        group = replicas()
        group.down("b")
        asked = group.write()
        group.run("a", asked)
        group.up("b")
        assert group["b"].health is Health.UNSAFE

    @pytest.mark.parametrize("will", [Will.DRAIN, Will.MAINT])
    def test_a_device_that_the_operator_took_out_gets_nothing_and_is_behind(self, will: Will) -> None:
        group = replicas()
        group.group.set_will(group["b"], will)
        asked = group.write()
        group.run("a", asked)
        assert group.where(asked) == ["spare"]
        assert "b" in group.behind()

    def test_a_write_that_ran_nowhere_leaves_nobody_behind(self) -> None:
        group = replicas()
        group.down("b")
        group.refuse("a", group.write())
        assert group.behind() == set()

    def test_pinned_clients_of_a_device_that_falls_behind_lose_their_connection(self) -> None:
        group = replicas()
        pins = {pin.device.name: pin for pin in (group.pin(), group.pin()) if pin is not None and pin.device}
        for name in pins:
            group.open_private(name)
        asked = group.write()
        group.run("a", asked)
        group.refuse("b", asked)
        assert group.pins_ended == [(pins["b"], True)]

    def test_a_device_that_falls_behind_is_compared_at_once(self) -> None:
        group = replicas()
        group["b"].likeness.due = group["spare"].likeness.due = float("inf")
        asked = group.write()
        group.run("a", asked)
        group.refuse("b", asked)
        assert group["b"].likeness.due == group.now
        group.run("spare", asked)
        assert group["spare"].likeness.due > group.now

    def test_a_device_that_comes_back_under_another_address_is_still_behind(self) -> None:
        group = replicas()
        asked = group.write()
        group.run("a", asked)
        group.refuse("b", asked)
        group["b"].leaving = True
        again = group.add(device_settings("b"))
        group.group.writes.behind.enlist(again, group.now)
        assert again.health is Health.UNSAFE

    def test_a_write_waits_for_the_first_verdict_on_a_device_for_as_long_as_it_may_be_queued(self) -> None:
        group = Replicas(*THREE, queue=Queue(timeout=1.0))
        for name in ("a", "spare"):
            group.up(name)
            group.open(name)
        patient = group.write()
        assert group.where(patient) == []
        group.open("b")
        group.up("b")
        group.wait(0.02)
        assert group.where(patient) == ["a"]

    def test_a_device_not_yet_shown_to_be_alike_is_waited_for_and_then_left_behind(self) -> None:
        """It may have come back without its keys: as the first of a write it would speak for all."""
        group = replicas(queue=Queue(timeout=1.0))
        group["a"].likeness.held = True
        group.group.changed(group["a"])
        patient = group.write()
        assert group.where(patient) == []
        group["a"].likeness.held = False
        group.group.changed(group["a"])
        group.wait(0.02)
        assert group.where(patient) == ["a"]
        for name in ("a", "b", "spare"):
            group.run(name, patient)
        group["b"].likeness.held = True
        group.group.changed(group["b"])
        late = group.write()
        group.wait(1.0)
        group.run("a", late)
        assert group.behind() == {"b"}

    def test_a_write_does_not_wait_longer_for_that(self) -> None:
        group = Replicas(*THREE, queue=Queue(timeout=1.0))
        for name in ("a", "spare"):
            group.up(name)
            group.open(name)
        asked = group.write()
        group.wait(1.0)
        assert group.where(asked) == ["a"]
        group.run("a", asked)
        assert group.behind() == {"b"}


def test_what_is_shown() -> None:
    group = replicas()
    asked, _ = group.write(), group.write()
    group.run("a", asked)
    group.refuse("b", asked)
    shown = group_snapshot(group.group, 0.0)
    assert shown.queued == 1
    assert shown.writes.under_way
    assert shown.writes.last_sequence == 1
    assert shown.writes.behind == {"b": 1}
    assert shown.writes.in_doubt == ()
