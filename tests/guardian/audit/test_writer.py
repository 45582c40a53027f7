"""Records wait for the disk, and nobody waits for them; none is lost while there is room."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
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
        self.begun = threading.Event()

    def append(self, batch: Sequence[Mapping[str, str]]) -> Place:
        self.begun.set()
        assert self.turning.wait(NEVER)
        if self.full:
            raise OSError(28, "No space left on device")
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
    assert time.monotonic() - before < 1
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
