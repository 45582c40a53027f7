"""Writes that wait for their turn, and what is written down of them."""

from __future__ import annotations

from balancer.intents import Mark
from balancer.snapshot import Outcome
from config.model import PrimaryLoss, Queue, Role, Writes
from tests.support.replicas import FakeJournal, Replicas, device_settings

PRIMARY = device_settings("a", role=Role.PRIMARY)
THREE = (PRIMARY, device_settings("b"), device_settings("spare", role=Role.BACKUP))
PROMOTE = Writes(primary_loss=PrimaryLoss.PROMOTE)


def replicas(writes: Writes | None = None, **settings: object) -> Replicas:
    return Replicas(*THREE, writes=writes, **settings).ready()  # type: ignore[return-value]


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
