"""What one write does, step by step; what holds whatever happens is in test_writes_machine."""

from __future__ import annotations

import pytest

from balancer.intents import Mark
from balancer.snapshot import Outcome, Will
from balancer.view import group_snapshot
from config.model import GroupType, Nondeterministic, PrimaryLoss, Queue, Role, Writes, WritesMode
from health.state import Health
from tests.support.core import group_settings
from tests.support.replicas import FakeJournal, Replicas, device_settings

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


class TestThePrimaryIsLost:
    @pytest.mark.parametrize("ran", [False, True])
    def test_in_the_middle_the_client_hears_of_the_doubt_and_nothing_is_repeated(self, ran: bool) -> None:
        group = replicas()
        asked = group.write()
        group.cut("a", asked, ran=ran)
        assert asked.outcome is Outcome.UNKNOWN
        assert group.where(asked) == []
        assert group.behind() == {"a"}
        assert group.group.writes.snapshot().in_doubt == ("a",)
        assert "write in doubt" in [event for event, _ in group.told]

    def test_silence_is_a_doubt_too(self) -> None:
        group = replicas()
        asked = group.write()
        group.flush()
        for _ in range(10):
            group.wait(1.0)
        assert asked.outcome is Outcome.TIMEOUT
        assert group.behind() == {"a"}

    def test_refuse_lets_no_write_through_until_it_is_back(self) -> None:
        group = replicas()
        group.cut("a", group.write())
        assert group.write().outcome is Outcome.NO_DEVICE
        assert group.submit().outcome is None, "reads go on"
        group.show_equal("a")
        group.open("a")
        assert group.where(group.write()) == ["a"]

    def test_promote_lets_a_production_device_in_sync_go_first(self) -> None:
        group = replicas(PROMOTE)
        group.cut("a", group.write())
        asked = group.write()
        assert group.where(asked) == ["b"]
        group.run("b", asked)
        group.run("spare", asked)
        assert asked.outcome is Outcome.OK
        assert ("primary promoted", {"device": "b", "instead_of": "a"}) in group.told
        assert group.group.writes.snapshot().promoted == "b"

    def test_the_promoted_one_stays_until_the_primary_is_shown_equal(self) -> None:
        group = replicas(PROMOTE)
        group.cut("a", group.write())
        group.up("a")
        second = group.write()
        assert group.where(second) == ["b"]
        group.run("b", second)
        group.run("spare", second)
        group.show_equal("a")
        group.open("a")
        assert group.where(group.write()) == ["a"]
        assert group.group.writes.succession.promoted is None

    def test_a_primary_that_was_away_while_another_went_first_is_behind(self) -> None:
        group = replicas(PROMOTE)
        group.down("a")
        asked = group.write()
        group.run("b", asked)
        assert "a" in group.behind()

    def test_a_backup_is_never_promoted(self) -> None:
        group = Replicas(PRIMARY, device_settings("spare", role=Role.BACKUP), writes=PROMOTE).ready()
        group.down("a")
        assert group.write().outcome is Outcome.NO_DEVICE

    def test_a_write_that_never_left_goes_to_the_promoted_one(self) -> None:
        group = replicas(PROMOTE)
        asked = group.write()
        group.cut("a", asked, written=False)
        assert group.where(asked) == ["b"]
        group.run("b", asked)
        assert "a" in group.behind()
        group.run("spare", asked)
        assert asked.outcome is Outcome.OK

    def test_a_write_that_a_device_has_seen_and_not_run_is_not_called_unsent(self) -> None:
        """It asked for a login, which could not be repeated any more."""
        group = replicas()
        asked = group.write()
        upstream = group.at("a", asked)
        assert upstream is not None
        upstream.outstanding[0].exchange.relogged = True
        group.cut("a", asked, written=False)
        assert asked.outcome is Outcome.UNKNOWN
        assert group.behind() == set()

    def test_a_write_that_never_left_is_refused_otherwise(self) -> None:
        group = replicas()
        asked = group.write()
        group.cut("a", asked, written=False)
        assert asked.outcome is Outcome.NO_DEVICE
        assert group.behind() == set()


class TestModes:
    def test_reject(self) -> None:
        group = replicas(Writes(mode=WritesMode.REJECT))
        asked = group.write()
        assert asked.outcome is Outcome.BLOCKED
        assert group.sent_count(asked.exchange.request) == 0

    def test_balance_goes_to_any_one_device_and_never_twice(self) -> None:
        group = replicas(Writes(mode=WritesMode.BALANCE))
        asked = [group.write(), group.write()]
        assert sorted(group.where(asked[0]) + group.where(asked[1])) == ["a", "b"]
        for each in asked:
            group.cut(group.where(each)[0], each)
            assert each.outcome is Outcome.UNKNOWN
            assert group.where(each) == []
        assert group.behind() == set()

    def test_key_management_servers_are_balanced_by_default(self) -> None:
        kms = group_settings(*THREE, type=GroupType.KMS)
        assert (kms.writes_mode, group_settings(*THREE).writes_mode) == (WritesMode.BALANCE, WritesMode.REPLICATE)

    @pytest.mark.parametrize("lost", [False, True])
    def test_primary_alone_and_nobody_is_behind(self, lost: bool) -> None:
        group = replicas(Writes(mode=WritesMode.PRIMARY))
        asked = group.write()
        if lost:
            group.cut("a", asked)
        else:
            group.run("a", asked)
        assert asked.outcome is (Outcome.UNKNOWN if lost else Outcome.OK)
        assert group.where(asked) == []
        assert group.behind() == set()

    def test_primary_alone_but_another_took_its_place(self) -> None:
        group = replicas(Writes(mode=WritesMode.PRIMARY, primary_loss=PrimaryLoss.PROMOTE))
        group.down("a")
        group.run("b", group.write())
        assert group.behind() == {"a"}


class TestNondeterministic:
    KEY = b"[AOGRSA;AG1;RC00FF;RD00;]"

    @pytest.mark.parametrize("lost", [False, True])
    def test_stale_leaves_all_others_behind(self, lost: bool) -> None:
        group = replicas()
        asked = group.write(request=b"[AOGPGS;AG1;CT6;BD4;]")
        if lost:
            group.cut("a", asked)
            assert group.behind() == {"a"}
            return
        group.run("a", asked, b"[AOGPGS;AG1;BG00FF;BD4;]")
        assert asked.outcome is Outcome.OK
        assert group.where(asked) == []
        assert group.behind() == {"b", "spare"}

    def test_a_key_that_comes_back_and_is_in_no_slot_leaves_nobody_behind(self) -> None:
        group = replicas()
        asked = group.write(request=b"[AOGRSA;AG1;RB2048;]")
        group.run("a", asked, self.KEY)
        assert asked.answer == self.KEY
        assert group.behind() == set()
        assert group.group.writes.done == 0

    @pytest.mark.parametrize(
        ("request_", "answer"),
        [
            (b"[AOGRSA;AG1;BD3;]", KEY),
            (b"[AOGRSA;AG1;]", b"[AOGRSA;AG1;RC00FF;BD3;]"),
            (b"[AOGRSA;AG1;]", b"[AOGRSA;AG1;RD00;]"),
            (b"[AOGRSA;AG1;]", b"[AOGRSA;AG1;RC;]"),
        ],
    )
    def test_whatever_may_be_in_a_slot_does(self, request_: bytes, answer: bytes) -> None:
        group = replicas()
        group.run("a", group.write(request=request_), answer)
        assert group.behind() == {"b", "spare"}

    def test_primary_leaves_nobody_behind(self) -> None:
        group = replicas(Writes(nondeterministic=Nondeterministic.PRIMARY))
        group.run("a", group.write(request=b"[AOGPGS;AG1;BD4;]"), b"[AOGPGS;AG1;BD4;]")
        assert group.behind() == set()

    def test_reject(self) -> None:
        group = replicas(Writes(nondeterministic=Nondeterministic.REJECT))
        assert group.write(code="GRSA").outcome is Outcome.BLOCKED
        assert group.where(group.write()) == ["a"], "of those only"


class TestWaiting:
    def test_a_queued_write_waits_no_longer_than_the_queue_allows(self) -> None:
        group = replicas(queue=Queue(timeout=1.0))
        first, second = group.write(), group.write()
        group.wait(1.0)
        assert second.outcome is Outcome.BUSY
        assert first.outcome is None

    def test_a_full_queue_is_busy(self) -> None:
        group = replicas(queue=Queue(size=1))
        asked = [group.write() for _ in range(3)]
        assert [each.outcome for each in asked] == [None, None, Outcome.BUSY]

    def test_no_queue_at_all_lets_one_through(self) -> None:
        group = replicas(queue=Queue(size=0))
        assert [group.write().outcome for _ in range(2)] == [None, Outcome.BUSY]

    def test_a_full_device_is_waited_for_and_no_other_is_taken(self) -> None:
        group = replicas()
        reads = [group.submit(code="HASH")]
        assert group.where(reads[0]) == ["a"]
        asked = group.write()
        assert group.where(asked) == []
        group.answer(group.upstream_of(reads[0]))
        assert group.where(asked) == ["a"]

    def test_a_primary_that_stays_full_is_busy_and_nobody_is_promoted(self) -> None:
        group = replicas(PROMOTE, queue=Queue(timeout=1.0))
        group.submit(code="HASH")
        asked = group.write()
        group.wait(1.0)
        assert asked.outcome is Outcome.BUSY
        assert group.where(asked) == []
        assert group.behind() == set()

    def test_it_does_not_move_when_another_device_becomes_the_steady_one(self) -> None:
        group = replicas(queue=Queue(timeout=5.0))
        group.submit(code="HASH")
        asked = group.write()
        group["a"].tracker.doubt()
        group.group.changed(group["a"])
        assert group.group.scheduler.steady is not group["a"]
        assert group.where(asked) == []
        assert [leg.request for leg in group["a"].waiting] == [asked.exchange.request]

    def test_the_clients_deadline_ends_its_wait_and_not_the_write(self) -> None:
        group = replicas()
        asked = group.write()
        group.flush()
        group.wait(6.0)
        group.run("a", asked)
        group.flush()
        group.wait(4.0)
        assert asked.outcome is Outcome.UNKNOWN, "the primary has it, the quorum not yet"
        group.run("b", asked)
        group.run("spare", asked)
        assert group.behind() == set()
        assert asked.ends == 1


class TestJournal:
    def test_nothing_leaves_before_the_intent_is_on_disk(self) -> None:
        group = replicas()
        group.journal.held = True
        asked = group.write()
        group.flush()
        assert group.sent_count(asked.exchange.request) == 0
        group.journal.let_go()
        assert group.where(asked) == ["a"]

    def test_a_journal_that_cannot_be_written_refuses_writes_and_lets_reads_through(self) -> None:
        group = replicas()
        group.journal.broken = True
        asked = group.write()
        assert asked.outcome is Outcome.BUSY
        assert group.sent_count(asked.exchange.request) == 0
        read = group.submit()
        group.answer(group.upstream_of(read))
        assert read.outcome is Outcome.OK
        group.journal.broken = False
        assert group.where(group.write()) == ["a"]

    def test_a_write_whose_client_left_meanwhile_is_not_sent(self) -> None:
        group = replicas()
        group.journal.held = True
        asked = group.write()
        asked.exchange.abandon()
        group.journal.let_go()
        assert group.where(asked) == []
        assert group.journal.read().behind == {}

    def test_a_disk_that_hangs_ends_in_busy(self) -> None:
        group = replicas()
        group.journal.held = True
        asked = group.write()
        group.wait(10.0)
        assert asked.outcome is Outcome.BUSY
        group.journal.let_go()
        assert group.where(asked) == []

    def test_a_whole_write_leaves_no_doubt(self) -> None:
        group = replicas()
        asked = group.write()
        for name in ("a", "b", "spare"):
            group.run(name, asked)
        assert group.journal.read().behind == {}
        assert group.journal.read().last == 1

    def test_no_value_of_a_field_is_in_it_but_the_number_of_the_slot(self) -> None:
        group = replicas()
        group.write(request=b"[AOGPKA;BGDEADBEEF;BD7;LAsecret;]")
        text = b"".join(group.journal.lines)
        assert b"DEADBEEF" not in text
        assert b"secret" not in text
        assert b'"slot":"7"' in text
        group = replicas()
        group.write(request=b"[AOGPKA;BG00;BDDEADBEEF;]")
        assert b"DEADBEEF" not in b"".join(group.journal.lines)

    def test_a_new_proxy_lets_nobody_serve_who_is_in_doubt(self) -> None:
        group = replicas()
        asked = group.write()
        group.run("a", asked)
        group.flush()
        lines = group.journal.lines
        started = Replicas(*THREE)
        journal = FakeJournal(lines)
        started.group.writes.adopt(journal, journal.history.last, dict(journal.history.behind), started.now)
        started.ready()
        assert started.behind() == {"b", "spare"}
        assert [device.name for device in started.group.scheduler.serving] == ["a"]
        started.show_equal("b")
        assert "b" not in FakeJournal(journal.lines).history.behind
        asked = started.write()
        assert started.group.writes.behind.sequence == 2

    def test_a_journal_exchanged_in_the_middle_of_a_write_knows_of_it(self) -> None:
        group = replicas()
        asked = group.write()
        group.flush()
        other = FakeJournal()
        group.group.writes.adopt(other, 0, {}, group.now)
        assert set(other.read().behind) == {"a", "b", "spare"}
        for name in ("a", "b", "spare"):
            group.run(name, asked)
        assert other.read().behind == {}

    def test_who_is_behind_is_in_the_next_journal_too(self) -> None:
        group = replicas()
        asked = group.write()
        group.run("a", asked)
        group.refuse("b", asked)
        other = FakeJournal()
        group.group.writes.adopt(other, 0, {}, group.now)
        assert other.read().behind["b"] == Mark(number=1, code="GPKD", outcome="refused")


class TestWhatOtherProcessesDo:
    def test_a_device_that_the_writer_does_not_know_lacks_its_write(self) -> None:
        group = Replicas(PRIMARY, device_settings("b"), device_settings("c")).ready()
        group.journal.begin_elsewhere(1, "a", "b")
        group.journal.end(1, "ok")  # both in one look
        group.wait(0.1)
        assert group.behind() == {"c"}
        assert not group["c"].serving
        assert set(group.journal.read().behind) == {"c"}

    def test_a_write_that_concerns_one_device_only_leaves_nobody_behind(self) -> None:
        group = Replicas(PRIMARY, device_settings("b")).ready()
        group.journal.begin_elsewhere(1)
        group.wait(0.1)
        assert group.behind() == set()

    def test_success_waits_for_every_device_in_sync_whatever_the_quorum(self) -> None:
        group = replicas(Writes(quorum="1"))
        group.journal.alone = False
        asked = group.write()
        group.run("a", asked)
        group.run("b", asked)
        assert asked.outcome is None, "the spare would serve clients of another process without it"
        group.cut("spare", asked)
        assert asked.outcome is Outcome.OK
        assert group.behind() == {"spare"}

    def test_the_quorum_is_needed_all_the_same(self) -> None:
        group = replicas(Writes(quorum="2"))
        group.journal.alone = False
        asked = group.write()
        group.run("a", asked)
        group.cut("b", asked)
        group.cut("spare", asked)
        assert asked.outcome is Outcome.UNKNOWN

    def test_a_journal_that_comes_later_goes_on_from_the_last_number(self) -> None:
        group = replicas()
        for _ in range(3):
            asked = group.write()
            for name in ("a", "b", "spare"):
                group.run(name, asked)
        later = FakeJournal()
        group.group.writes.adopt(later, 0, {}, group.now)
        assert later.history.last == 3
        assert later.read().last == 3

    def test_a_write_refused_by_the_journal_of_before_is_ended_in_that_of_now(self) -> None:
        group = replicas()
        group.journal.held = True
        asked = group.write()
        later = FakeJournal()
        group.group.writes.adopt(later, 0, {}, group.now)
        group.journal.broken = True
        group.journal.let_go()
        assert asked.outcome is Outcome.BUSY
        assert not later.history.open
        assert not group.group.writes.under_way


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
