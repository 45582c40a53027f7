"""One write journal among several processes: whose turn it is, what each knows, and what a death leaves behind."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from balancer.intents import Intent, Mark
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


async def begin(journal: WriteJournal, number: int | None = None) -> None:
    """Wait for the turn, and until the intent is durable."""
    turn = trio.Event()
    if not journal.take_turn(turn.set):
        with trio.fail_after(10):
            await turn.wait()
    durable = trio.Event()
    number = journal.history.last + 1 if number is None else number
    intent = Intent(number=number, code="GPKA", digest="", slot=None, devices=("a", "b"), at=0.0)
    journal.begin(intent, b"[AOGPKA;]", lambda _: durable.set())
    with trio.fail_after(10):
        await durable.wait()


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
        with trio.fail_after(10):
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
        with trio.fail_after(10):
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
        os.write(one._fd, b'{"write":1,"at')
        two.look()
        assert not two.history.open
        await begin(two, 1)
        two.end(1, "ok")
        with trio.fail_after(10):
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
        with trio.fail_after(10):
            while "b" not in two.history.behind or two.history.open:
                two.look()
                await trio.sleep(0.01)
        await begin(one, 2)
        two.equal("b", 1)  # shown before write 2, of which it has not heard
        assert "b" not in two.history.behind
        one.tell("b", mark(2, "missed"))
        one.end(2, "ok")
        with trio.fail_after(10):
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
