"""Journals that a supervisor owns: every worker writes them in turns, nobody else opens them, they outlive workers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import attrs
import pytest

from balancer.intents import Intent, intent_line
from config.model import Config, Group, Writes
from guardian.journal import JournalError, open_journal, open_memory
from guardian.journal_file import Owners
from guardian.journals import Journals
from guardian.workers.owned import descriptors, let_go, open_owners
from tests.support.core import device_settings


def config(**journals: Path | None) -> Config:
    groups = tuple(
        Group(name=name, writes=Writes(journal=path), devices=(device_settings("a"),))
        for name, path in journals.items()
    )
    return Config(listeners=(), groups=groups)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def handed(owners: Owners) -> Owners:
    """As a worker gets them."""
    return Owners(
        files={path: os.dup(fd) for path, fd in owners.files.items()},
        memory={name: os.dup(fd) for name, fd in owners.memory.items()},
    )


def test_every_worker_opens_each_journal_and_nobody_else_does(tmp_path: Path) -> None:
    asked = config(payments=tmp_path / "writes.journal", issuing=None)
    owners = open_owners(asked)
    with pytest.raises(JournalError, match="in use by another process"):
        open_journal(tmp_path / "writes.journal")
    workers = [Journals(handed(owners), together=True).of(asked, {}) for _ in range(3)]
    for journals in workers:
        for journal in journals.values():
            assert journal is not None
            assert not journal.alone
            assert journal.history.salt == workers[0]["payments" if journal.path else "issuing"].history.salt  # type: ignore[union-attr]
    with pytest.raises(JournalError, match="in use by another process"):
        open_journal(tmp_path / "writes.journal")
    for journals in workers:
        for journal in journals.values():
            assert journal is not None
            journal.close()
    with pytest.raises(JournalError, match="in use by another process"):
        open_journal(tmp_path / "writes.journal")
    let_go(owners)
    open_journal(tmp_path / "writes.journal").close()


def test_a_worker_that_was_alone_hears_at_once_of_the_writes_of_one_that_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owners = open_owners(config(payments=None))
    first = Journals(handed(owners), together=True).of(config(payments=None), {})["payments"]
    assert first is not None
    first.look()
    now = time.monotonic()
    monkeypatch.setattr("guardian.journal.time.monotonic", lambda: now + 10.0)  # alone for long
    first.look()
    second = Journals(handed(owners), together=True).of(config(payments=None), {})["payments"]
    assert second is not None
    intent = Intent(number=1, code="GPKA", digest="", slot=None, devices=("a",), at=0.0)
    os.write(second._file.fd, intent_line(intent))
    assert second._turns.try_take()
    first.look()
    assert first.begun_elsewhere == 1
    second.close()
    first.close()
    let_go(owners)


def test_what_is_in_memory_outlives_all_workers(tmp_path: Path) -> None:
    owners = open_owners(config(payments=None))
    first = open_memory(os.dup(owners.memory["payments"]))
    salt = first.history.salt
    first.close()
    second = open_memory(os.dup(owners.memory["payments"]))
    assert second.history.salt == salt
    second.close()
    let_go(owners)


def test_a_reload_keeps_what_is_there_and_opens_what_it_adds(tmp_path: Path) -> None:
    before, after = config(a=None, b=tmp_path / "b"), config(b=tmp_path / "b", c=tmp_path / "c")
    first = open_owners(before)
    second = open_owners(after, first, before)
    assert second.files[tmp_path / "b"] == first.files[tmp_path / "b"]
    let_go(first, but=second)
    assert [os.fstat(fd).st_nlink for fd in descriptors(second)]
    let_go(second)


def test_another_journal_of_a_group_is_for_a_restart(tmp_path: Path) -> None:
    before = config(a=None)
    owners = open_owners(before)
    count = open_descriptors()
    with pytest.raises(OSError, match=r"group a: writes\.journal cannot be changed .* restart"):
        open_owners(config(fresh=None, a=tmp_path / "a"), owners, before)
    assert open_descriptors() == count, "what was opened for it is closed"
    assert not (tmp_path / "a").exists()
    let_go(owners)


def test_a_damaged_journal_is_told_before_any_worker_is_started(tmp_path: Path) -> None:
    (tmp_path / "writes.journal").write_bytes(b"no journal\n")
    count = open_descriptors()
    with pytest.raises(JournalError, match=r"no write journal|no record"):
        open_owners(config(other=None, payments=tmp_path / "writes.journal"))
    assert open_descriptors() == count


def test_a_worker_that_reloads_takes_what_is_new_and_closes_what_it_has(tmp_path: Path) -> None:
    before, after = config(a=None), config(a=None, b=tmp_path / "b")
    owners = open_owners(before)
    journals = Journals(handed(owners), together=True)
    running = journals.of(before, {})
    assert running["a"] is not None
    owners = open_owners(after, owners, before)
    count = open_descriptors()
    journals.offer(handed(owners))
    journals.withdraw()  # that reload was not carried out
    journals.offer(handed(owners))
    known = {"a": attrs.make_class("Known", ["journal"])(running["a"])}
    opened = journals.of(after, known)
    assert opened["a"] is running["a"]
    assert opened["b"] is not None
    assert open_descriptors() == count + 3, "of the new journal: the file, its lock, and its owner"
    for journal in opened.values():
        assert journal is not None
        journal.close()
    let_go(owners)
