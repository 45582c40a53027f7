"""Records wait for the disk, and nobody waits for them; none is lost while there is room."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from guardian.audit.chain import START, Place
from guardian.audit.file import AuditFile
from guardian.audit.writer import AuditWriter
from guardian.events import Event, Events, Kind
from tests.support.audit import verified

NEVER = 20.0  # seconds


def event(word: str) -> Event:
    return Events().tell(Kind.BLOCKED, "payments/GPKD", word)


class Disk(AuditFile):
    """A file whose disk can be stopped, and can be full."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, key=None, max_size=1 << 30, sync=True)
        self.turning = threading.Event()
        self.turning.set()
        self.full = False
        self.broken = False
        self.begun = threading.Event()
        self.hears: Callable[[int], None] = lambda _records: None

    def append(self, batch: Sequence[Mapping[str, str]]) -> Place:
        self.begun.set()
        self.hears(len(batch))
        assert self.turning.wait(NEVER)
        if self.full:
            raise OSError(28, "No space left on device")
        if self.broken:
            raise RecursionError
        return super().append(batch)


def results(path: Path) -> list[str]:
    found = verified(path)
    assert not found.faults
    return [record.fields["result"] for record in found.records]


def until(writer: AuditWriter, records: int) -> None:
    deadline = time.monotonic() + NEVER
    while writer.records < records:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_all_that_was_put_is_in_the_file_when_it_is_closed(tmp_path: Path) -> None:
    writer = AuditWriter(Disk(tmp_path / "audit.log"), lambda: None)
    for number in range(3_000):
        writer.put(event(f"r{number}"))
    assert writer.close()
    assert results(tmp_path / "audit.log") == ["opened", *(f"r{number}" for number in range(3_000))]
    assert (writer.records, writer.unwritten, writer.last.number) == (3_000, 0, 3_001)


def test_a_disk_that_stops_holds_nobody_up_and_is_noticed(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "audit.log")
    writer = AuditWriter(disk, lambda: None)
    assert writer.late(time.monotonic()) == 0
    disk.turning.clear()
    writer.put(event("a"))
    assert disk.begun.wait(NEVER)
    before = time.monotonic()
    for _ in range(1_000):
        writer.put(event("b"))
    assert time.monotonic() - before < 20
    assert writer.late(time.monotonic() + 60) > 59
    assert writer.unwritten == 1_001
    disk.turning.set()
    assert writer.close()
    assert len(results(tmp_path / "audit.log")) == 1_002


def test_a_full_disk_is_told_and_tried_again_and_told_again(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "audit.log")
    heard: list[str] = []
    told = threading.Event()

    def tell() -> None:
        heard.append(writer.fault)
        told.set()

    disk.full = True
    writer = AuditWriter(disk, tell)
    writer.put(event("a"))
    assert told.wait(NEVER)
    assert heard == ["No space left on device"]
    writer.put(event("b"))
    assert writer.failures
    disk.full = False
    until(writer, 2)
    writer.close()
    assert heard == ["No space left on device", ""]
    assert results(tmp_path / "audit.log") == ["opened", "a", "b"]


def test_a_fault_of_our_own_is_a_try_that_failed(tmp_path: Path) -> None:
    """The thread goes on: what it cannot write today it may tomorrow, and until then it says that it fails."""
    disk = Disk(tmp_path / "audit.log")
    disk.broken = True
    told = threading.Event()
    writer = AuditWriter(disk, told.set)
    writer.put(event("a"))
    assert told.wait(NEVER)
    assert writer.fault == "a fault of the proxy's own: RecursionError"
    disk.broken = False
    until(writer, 1)
    assert writer.close()
    assert results(tmp_path / "audit.log") == ["opened", "a"]


def test_what_there_was_no_room_for_is_counted_and_the_file_says_so(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "audit.log")
    disk.turning.clear()
    writer = AuditWriter(disk, lambda: None, capacity=10)
    for number in range(25):
        writer.put(event(f"r{number}"))
    assert writer.lost == 15
    disk.turning.set()
    until(writer, 10)
    writer.put(event("after"))
    assert writer.close()
    found = verified(tmp_path / "audit.log")
    assert [record.fields["detail"] for record in found.records if record.fields["result"] == "lost"] == ["15 records"]
    assert results(tmp_path / "audit.log")[-1] == "after"


def test_closing_before_a_full_disk_does_not_wait_for_ever(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "audit.log")
    disk.full = True
    writer = AuditWriter(disk, lambda: None)
    assert writer.last == START
    writer.put(event("a"))
    assert not writer.close(timeout=NEVER)
    assert not writer.running
    assert writer.unwritten == 1


def retired_before_a_full_disk(path: Path, capacity: int = 100) -> tuple[Disk, AuditWriter]:
    disk = Disk(path)
    disk.full = True
    writer = AuditWriter(disk, lambda: None, capacity)
    for word in "abc":
        writer.put(event(word))
    while not writer.failures:
        time.sleep(0.002)
    return disk, writer


def test_what_a_retired_writer_cannot_write_its_heir_writes(tmp_path: Path) -> None:
    _, writer = retired_before_a_full_disk(tmp_path / "first.log", capacity=2)
    assert writer.lost == 1
    heir = AuditWriter(Disk(tmp_path / "second.log"), lambda: None)
    writer.heir = heir
    writer.retire()
    until(heir, 2)
    assert writer.close()
    assert heir.close()
    assert writer.unwritten == 0
    found = verified(tmp_path / "second.log")
    assert not found.faults
    assert [record.fields["result"] for record in found.records if len(record.fields["result"]) == 1] == ["a", "b"]
    assert [record.fields["detail"] for record in found.records if record.fields["result"] == "lost"] == ["1 records"]


def test_without_an_heir_a_retired_writer_goes_on_trying(tmp_path: Path) -> None:
    disk, writer = retired_before_a_full_disk(tmp_path / "audit.log")
    tried = writer.failures
    writer.retire()
    while writer.failures < tried + 2:
        time.sleep(0.01)
    assert writer.running
    disk.full = False
    until(writer, 3)
    assert writer.close()
    assert results(tmp_path / "audit.log") == ["opened", "a", "b", "c"]


def test_an_heir_that_has_ended_gets_nothing(tmp_path: Path) -> None:
    disk, writer = retired_before_a_full_disk(tmp_path / "audit.log")
    writer.heir = AuditWriter(Disk(tmp_path / "second.log"), lambda: None)
    assert writer.heir.close()
    tried = writer.failures
    writer.retire()
    while writer.failures < tried + 1:
        time.sleep(0.01)
    assert writer.unwritten == 3
    disk.full = False
    until(writer, 3)
    assert writer.close()
    assert results(tmp_path / "audit.log") == ["opened", "a", "b", "c"]


def test_a_batch_that_failed_is_given_again_as_it_was(tmp_path: Path) -> None:
    """The file counts what it has of it: a record put in before the end would be taken for one that is written."""
    disk = Disk(tmp_path / "audit.log")
    given: list[int] = []
    disk.full = True
    disk.hears = given.append
    writer = AuditWriter(disk, lambda: None, capacity=2)
    writer.put(event("a"))
    while not given:
        time.sleep(0.002)
    writer.put(event("b"))
    writer.put(event("too many"))
    while len(given) < 2:
        time.sleep(0.002)
    disk.full = False
    until(writer, 2)
    assert writer.close()
    assert given[:2] == [1, 1]
    assert results(tmp_path / "audit.log") == ["opened", "a", "b", "lost"]
