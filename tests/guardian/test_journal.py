"""The file of the write journal: what it survives, and what it refuses."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from balancer.intents import Intent, Mark
from guardian.journal import JournalError, WriteJournal, examine, open_journal

REQUEST = b"[AOGPKA;BGDEADBEEF;BD7;LAsecret;]"


def intent(number: int) -> Intent:
    return Intent(number=number, code="GPKA", digest="", slot="7", devices=("a", "b"), at=0.0)


def done(number: int) -> Mark:
    return Mark(number=number, code="GPKA", outcome="done")


@asynccontextmanager
async def running(path: Path, **settings: int) -> AsyncIterator[WriteJournal]:
    async with trio.open_nursery() as nursery:
        journal = open_journal(path, **settings)
        nursery.start_soon(journal.run, lambda: None)
        yield journal
        nursery.cancel_scope.cancel()


async def begin(journal: WriteJournal, number: int) -> bool:
    """Whether it became durable."""
    told = trio.Event()
    results: list[bool] = []

    def durable(result: bool) -> None:
        results.append(result)
        told.set()

    journal.begin(intent(number), REQUEST, durable)
    with trio.fail_after(30):
        await told.wait()
    assert len(results) == 1
    return results[0]


def behind(path: Path) -> set[str]:
    journal = open_journal(path)
    journal.close()
    return set(journal.history.behind)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "writes.journal"


async def test_an_intent_is_in_the_file_when_it_is_said_to_be(path: Path) -> None:
    async with running(path) as journal:
        assert await begin(journal, 1)
        text = path.read_bytes()
        assert b'"write":1' in text
        assert text.endswith(b"\n")
    assert behind(path) == {"a", "b"}


async def test_a_stop_in_order_leaves_no_doubt_behind(path: Path) -> None:
    async with running(path) as journal:
        assert await begin(journal, 1)
        for name in ("a", "b"):
            journal.tell(name, done(1))
        journal.end(1, "ok")
    assert behind(path) == set()


async def test_numbers_go_on_after_a_restart(path: Path) -> None:
    async with running(path) as journal:
        await begin(journal, 41)
    assert open_journal(path).history.last == 41


async def test_it_is_its_owners_alone_and_holds_no_value(path: Path) -> None:
    path.touch(0o644)
    async with running(path) as journal:
        await begin(journal, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"DEADBEEF" not in path.read_bytes()
    assert b"secret" not in path.read_bytes()


async def test_the_same_message_has_another_hash_in_another_file(tmp_path: Path) -> None:
    hashes = set()
    for name in ("one", "two"):
        async with running(tmp_path / name) as journal:
            await begin(journal, 1)
            hashes.add((tmp_path / name).read_text().partition('"hash":"')[2][:64])
    assert len(hashes) == 2


@pytest.mark.parametrize("cut", range(1, 60, 7))
async def test_half_a_line_at_the_end_is_cut_off(path: Path, cut: int) -> None:
    async with running(path) as journal:
        await begin(journal, 1)
        journal.end(1, "ok")
        await begin(journal, 2)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    whole = content[:-cut].rpartition(b"\n")[0] + b"\n"
    assert behind(path) == set()
    assert path.read_bytes() == whole


async def test_half_a_first_line_begins_anew(path: Path) -> None:
    async with running(path):
        pass
    path.write_bytes(path.read_bytes()[:20])
    assert behind(path) == set()


@pytest.mark.parametrize("damage", [b"x\n", b"\0\0\0\n", b'{"journal":1}\n', b'{"odd":1}\n{"odd":2}\n'])
async def test_any_other_damage_is_an_error_for_people_and_changes_nothing(path: Path, damage: bytes) -> None:
    async with running(path) as journal:
        await begin(journal, 1)
    content = path.read_bytes() + damage + b'{"end":1,"result":"ok"}\n'
    path.write_bytes(content)
    assert examine(path) is not None
    with pytest.raises(JournalError, match=r"writes\.journal: line 3 is no record"):
        open_journal(path)
    assert path.read_bytes() == content


def test_somebody_elses_file_is_not_touched(path: Path) -> None:
    path.write_bytes(b"hunter2")
    path.chmod(0o640)
    with pytest.raises(JournalError, match="no write journal"):
        open_journal(path)
    assert path.read_bytes() == b"hunter2"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(JournalError):
        open_journal(tmp_path / "pipe")
    with pytest.raises(JournalError):
        open_journal(tmp_path / "none" / "writes.journal")


def test_two_proxies_do_not_share_one(path: Path) -> None:
    first = open_journal(path)
    with pytest.raises(JournalError, match="in use by another process"):
        open_journal(path)
    assert examine(path) is None
    first.close()
    open_journal(path).close()


async def test_it_is_made_anew_when_it_is_long_and_keeps_what_is_in_doubt(path: Path) -> None:
    async with running(path, compact_at=2000) as journal:
        journal.tell("c", Mark(number=1, code="GPKA", outcome="refused"))
        for number in range(1, 30):
            assert await begin(journal, number)
            for name in ("a", "b"):
                journal.tell(name, done(number))
            journal.end(number, "ok")
        assert path.stat().st_size < 3000
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(JournalError, match="in use"):
            open_journal(path)
        assert await begin(journal, 30)
    assert path.with_name("writes.journal.old").exists()
    journal = open_journal(path)
    assert set(journal.history.behind) == {"a", "b", "c"}
    assert journal.history.last == 30


async def test_a_disk_that_fails_refuses_and_then_works_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(path) as journal:
        assert await begin(journal, 1)
        journal.tell("a", done(1))
        journal.tell("b", done(1))
        journal.end(1, "ok")
        real = os.write

        def half(fd: int, data: memoryview) -> int:
            real(fd, data[: len(data) // 2])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("guardian.journal.os.write", half)
        assert not await begin(journal, 2)
        assert not await begin(journal, 3)
        monkeypatch.undo()
        assert await begin(journal, 4)
        assert examine(path) is None
        journal.end(4, "ok")
    assert behind(path) == set()


async def test_a_file_that_somebody_removed_is_made_again(path: Path) -> None:
    async with running(path) as journal:
        journal.tell("c", Mark(number=1, code="GPKA", outcome="refused"))
        assert await begin(journal, 1)
        path.unlink()
        assert not await begin(journal, 2)
        assert await begin(journal, 3)
        journal.end(3, "ok")
        journal.end(1, "ok")
    assert behind(path) == {"c"}


async def test_a_retired_journal_writes_what_is_there_and_ends(path: Path) -> None:
    async with trio.open_nursery() as nursery:
        journal = open_journal(path)
        nursery.start_soon(journal.run, lambda: None)
        assert await begin(journal, 1)
        journal.end(1, "ok")
        journal.retire()
        with trio.fail_after(30):
            while nursery.child_tasks:
                await trio.sleep(0.001)
    assert behind(path) == set()


async def test_closed_it_refuses_writes_and_touches_no_descriptor(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its numbers may be another file's by then. The devices are let go of at the same time, and tell of writes."""
    async with running(path) as journal:
        assert await begin(journal, 1)
    monkeypatch.setattr(fcntl, "fcntl", lambda *_: pytest.fail("it locked what is not its own"))
    monkeypatch.setattr(os, "fstat", lambda *_: pytest.fail("it looked at what is not its own"))
    assert not await begin(journal, 2)
    journal.tell("a", done(1))
    journal.end(1, "in_doubt")
    journal.equal("a", 1)
    journal.look()
    journal.give_turn()
    assert not journal.take_turn(lambda: pytest.fail("it has no turn"))
    assert not journal.alone
    journal.close()
    monkeypatch.undo()
    assert behind(path) == {"a", "b"}
