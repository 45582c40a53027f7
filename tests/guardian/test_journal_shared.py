"""One write journal among several processes: whose turn it is, what each knows, and what a death leaves behind."""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from balancer import intents
from balancer.intents import Intent, Mark
from guardian import journal_file
from guardian.journal import JournalError, WriteJournal, open_journal, open_memory

Again = Callable[[], WriteJournal]


@pytest.fixture(params=["file", "memory"])
def journals(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], WriteJournal]:
    """Each call opens one more, as a process does that it was handed down to."""
    path = tmp_path / "writes.journal"
    first: list[WriteJournal] = []

    def another() -> WriteJournal:
        owner = os.dup(first[0].lock.owner) if first else None
        made = open_journal(path, owner=owner) if request.param == "file" else open_memory(owner)
        first.append(made)
        return made

    return another


@asynccontextmanager
async def running(*journals: WriteJournal) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for journal in journals:
            nursery.start_soon(journal.run, lambda: None)
        yield
        nursery.cancel_scope.cancel()


async def begin(journal: WriteJournal, number: int | None = None) -> bool:
    """Wait for the turn, and until the intent is durable, or refused."""
    turn = trio.Event()
    if not journal.take_turn(turn.set):
        with trio.fail_after(30):
            await turn.wait()
    ended = trio.Event()
    results: list[bool] = []

    def durable(result: bool) -> None:
        results.append(result)
        ended.set()

    number = journal.history.last + 1 if number is None else number
    intent = Intent(number=number, code="GPKA", digest="", slot=None, devices=("a", "b"), at=0.0)
    journal.begin(intent, b"[AOGPKA;]", durable)
    with trio.fail_after(30):
        await ended.wait()
    return results[0]


async def until(said: Callable[[], bool], *looking: WriteJournal) -> None:
    with trio.fail_after(30):
        while not said():
            for journal in looking:
                journal.look()
            await trio.sleep(0.01)


def mark(number: int, outcome: str = "done") -> Mark:
    return Mark(number=number, code="GPKA", outcome=outcome)


async def test_one_at_a_time_and_each_knows_what_the_other_did(journals: Again) -> None:
    one, two = journals(), journals()
    async with running(one, two):
        await begin(one, 1)
        two.look()
        assert two.history.open
        assert two.begun_elsewhere == 1
        turn = trio.Event()
        assert not two.take_turn(turn.set)
        one.tell("a", mark(1))
        one.tell("b", mark(1, "missed"))
        await trio.sleep(0.05)
        assert not turn.is_set()
        one.end(1, "ok")
        with trio.fail_after(30):
            await turn.wait()
        assert not two.history.open
        assert two.history.last == 1
        assert set(two.history.behind) == {"b"}
        two.give_turn()
        await begin(one, 2)


async def test_they_take_turns_though_each_wants_many(journals: Again) -> None:
    one, two = journals(), journals()
    order: list[str] = []

    async def write(name: str, journal: WriteJournal) -> None:
        for _ in range(10):
            await begin(journal)
            order.append(name)
            await trio.sleep(0.005)
            journal.end(journal.history.last, "ok")

    async with running(one, two):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, "one", one)
            nursery.start_soon(write, "two", two)
        assert 20 in (one.history.last, two.history.last)
        both = order[1:-4]
        assert sum(a != b for a, b in itertools.pairwise(both)) >= len(both) - 5, order


async def test_who_dies_in_a_write_leaves_its_devices_in_doubt(journals: Again) -> None:
    one, two, three = journals(), journals(), journals()
    async with running(two, three):
        async with running(one):
            await begin(one, 1)
            one.tell("a", mark(1))
        with trio.fail_after(30):
            while "b" not in two.history.behind or "b" not in three.history.behind:
                two.look()
                three.look()
                await trio.sleep(0.01)
        assert two.history.behind["b"].doubtful
        assert "a" not in two.history.behind
        await begin(two, 2)


async def test_half_a_line_of_one_that_died_is_cut_off(journals: Again) -> None:
    one, two = journals(), journals()
    async with running(two):
        os.write(one._file.fd, b'{"write":1,"at')
        two.look()
        assert not two.history.open
        await begin(two, 1)
        two.end(1, "ok")
        with trio.fail_after(30):
            while True:
                one.look()
                if one.history.last == 1 and not one.history.open:
                    break
                await trio.sleep(0.01)


async def test_equal_as_of_an_earlier_write_is_no_proof_for_a_later_one(journals: Again) -> None:
    one, two = journals(), journals()
    async with running(one, two):
        await begin(one, 1)
        one.tell("b", mark(1, "missed"))
        one.end(1, "ok")
        with trio.fail_after(30):
            while "b" not in two.history.behind or two.history.open:
                two.look()
                await trio.sleep(0.01)
        await begin(one, 2)
        two.equal("b", 1)  # shown before write 2, of which it has not heard
        assert "b" not in two.history.behind
        one.tell("b", mark(2, "missed"))
        one.end(2, "ok")
        with trio.fail_after(30):
            while "b" not in two.history.behind:
                two.look()
                await trio.sleep(0.01)
        await begin(one, 3)
        assert "b" in one.history.behind


async def test_a_file_that_another_has_made_anew_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "writes.journal"
    one = open_journal(path, compact_at=600)
    two = open_journal(path, owner=os.dup(one.lock.owner), compact_at=1 << 20)
    async with running(one, two):
        one.tell("c", mark(0, "refused"))
        for number in range(1, 12):
            journal = one if number % 3 else two
            await begin(journal, number)
            assert journal.history.last == number
            journal.end(number, "ok")
        two.look()
        assert set(two.history.behind) == {"c"}
    assert path.with_name("writes.journal.old").exists()


def test_whoever_it_was_not_handed_to_does_not_get_it(tmp_path: Path) -> None:
    path = tmp_path / "writes.journal"
    first = open_journal(path)
    second = open_journal(path, owner=os.dup(first.lock.owner))
    first.close()
    with pytest.raises(JournalError, match="in use by another process"):
        open_journal(path)
    second.close()
    open_journal(path).close()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[WriteJournal, WriteJournal]:
    path = tmp_path / "writes.journal"
    one = open_journal(path)
    return one, open_journal(path, owner=os.dup(one.lock.owner))


async def test_what_cannot_be_read_is_not_written_over(
    pair: tuple[WriteJournal, WriteJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    async with running(one, two):
        await begin(one, 1)
        one.end(1, "ok")
        await until(lambda: two.history.last == 1 and not two.history.open, two)
        two._compact_at = 10  # it puts another file in its place
        await begin(two, 2)
        two.tell("b", mark(2, "missed"))
        two.end(2, "ok")
        await until(lambda: not two._turns.held)
        really = os.open

        def busy(path: str | Path, flags: int, mode: int = 0o777) -> int:
            if str(path).endswith(".journal"):
                raise OSError(errno.EMFILE, "Too many open files")
            return really(path, flags, mode)

        with monkeypatch.context() as patched:
            patched.setattr(os, "open", busy)
            one.look()
            assert not await begin(one, 2)
            assert not one._turns.held
            one.equal("c", 1)  # a note waits
            await trio.sleep(0.05)
        assert await begin(two, 3)
        two.end(3, "ok")
        await until(lambda: one.history.last == 3, one)
        assert set(one.history.behind) == {"b"}
        assert await begin(one, 4)
        one.end(4, "ok")
        await until(lambda: two.history.last == 4, two)
        assert set(two.history.behind) == {"b"}


async def test_who_cannot_note_the_end_keeps_the_turn_until_it_can(
    pair: tuple[WriteJournal, WriteJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    async with running(one, two):
        await begin(one, 1)
        with monkeypatch.context() as patched:
            patched.setattr(journal_file, "write_all", _full)
            one.tell("a", mark(1))
            one.tell("b", mark(1))
            one.end(1, "ok")
            await until(lambda: one._file.dirty, two)
            for _ in range(10):
                two.look()
                await trio.sleep(0.01)
            assert two.history.open
        await until(lambda: not two.history.open, two)
        assert not two.history.behind
        assert await begin(two, 2)


async def test_notes_in_memory_are_not_lost_by_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    one = open_memory()
    two = open_memory(os.dup(one.lock.owner))
    async with running(one, two):
        await begin(one, 1)
        with monkeypatch.context() as patched:
            patched.setattr(journal_file, "write_all", _full)
            one.tell("b", mark(1, "missed"))
            one.end(1, "ok")
            await until(lambda: one._file.dirty)
        await until(lambda: two.history.last == 1 and not two.history.open, two)
        assert {name: found.outcome for name, found in two.history.behind.items()} == {"b": "missed"}


async def test_an_intent_that_did_not_reach_the_disk_was_not_begun_for_others_either(
    pair: tuple[WriteJournal, WriteJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair

    def slow_and_broken(descriptor: int) -> None:
        time.sleep(0.2)
        raise OSError(errno.EIO, "Input/output error")

    async with running(one, two):
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", slow_and_broken)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(until, lambda: two.history.open, two)
                assert not await begin(one, 1)
        one.give_turn()
        await until(lambda: not two.history.open, two)
        assert not two.history.behind
        assert await begin(two)


async def test_what_was_cut_off_is_forgotten_by_who_takes_over(pair: tuple[WriteJournal, WriteJournal]) -> None:
    one, two = pair
    assert one.take_turn(lambda: None)
    before = one._file.size
    begun = Intent(number=7, code="GPKA", digest="", slot=None, devices=("a", "b"), at=0.0)
    async with running(two):
        os.write(one._file.fd, intents.intent_line(begun))
        await until(lambda: two.history.open, two)
        os.ftruncate(one._file.fd, before)  # it could not bring it to the disk
        one.close()  # and then it dies
        assert await begin(two)
        assert not two.history.behind


async def test_a_device_that_only_others_know_is_heard_of_in_a_file_made_anew(
    pair: tuple[WriteJournal, WriteJournal],
) -> None:
    one, two = pair
    async with running(one, two):
        await begin(one, 1)
        one.end(1, "ok")
        one._compact_at = 10
        await begin(one, 2)
        one.end(2, "ok")
        await until(lambda: two.history.last == 2 and not two.history.open, two)
        assert [intent.number for intent in two.heard] == [1, 2]
        assert two.begun_elsewhere == 2
        assert not one.heard


def test_turns_are_common_though_the_lock_file_was_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "writes.journal"
    one = open_journal(path)
    beside = path.with_name("writes.journal.lock")
    beside.unlink()
    beside.touch()
    two = open_journal(path, owner=os.dup(one.lock.owner))
    assert one.take_turn(lambda: None)
    assert not two.take_turn(lambda: None)
    two.close()
    one.close()


async def test_a_fault_in_a_turn_gives_it_back(pair: tuple[WriteJournal, WriteJournal]) -> None:
    one, two = pair

    def fault(*_: object) -> None:
        raise RuntimeError("a fault of the proxy's own")

    async with running(one, two):
        await begin(one, 1)
        assert not two.take_turn(fault)
        one.end(1, "ok")
        await begin(one, 2)  # two has had its turn
        one.end(2, "ok")
        turn = trio.Event()
        if not one.take_turn(turn.set):
            with trio.fail_after(30):
                await turn.wait()
        one.begin(Intent(number=3, code="GPKA", digest="", slot=None, devices=("a",), at=0.0), b"[]", fault)
        await until(lambda: "a" in two.history.behind, two)
        assert two.history.behind["a"].doubtful


async def test_who_is_alone_leaves_the_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "writes.journal"
    one = open_journal(path)
    looked: list[object] = []
    with monkeypatch.context() as patched:
        patched.setattr(journal_file.os, "fstat", lambda *_: looked.append("fstat"))
        for _ in range(5):
            one.look()
    assert not looked
    assert one.alone
    two = open_journal(path, owner=os.dup(one.lock.owner))
    assert not one.alone
    async with running(two):
        await begin(two, 1)
        await until(lambda: one.history.open, one)
    one.close()


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
