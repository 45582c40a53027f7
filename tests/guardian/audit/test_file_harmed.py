"""What a full or failing disk, or somebody who shortens or replaces it, does to the file: no record is lost unseen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.audit import BIG, a_file, facts, results, verified, whole


class Disk:
    """A disk that takes so many bytes more."""

    def __init__(self, room: int, patch: pytest.MonkeyPatch) -> None:
        self.room = room
        self._write = os.write
        patch.setattr(os, "write", self.write)

        self._patch = patch

    def only_appends(self) -> None:
        """As after `chattr +a`: what was written by half stays."""

        def ftruncate(fd: int, size: int) -> None:
            raise PermissionError(1, "Operation not permitted")

        self._patch.setattr(os, "ftruncate", ftruncate)

    def write(self, fd: int, data: Any) -> int:
        if self.room <= 0:
            raise OSError(28, "No space left on device")
        taken = self._write(fd, bytes(data)[: self.room])
        self.room -= taken
        return taken


@pytest.mark.parametrize("only_appends", [False, True])
@pytest.mark.parametrize("room", [0, 1, 100, 300, 301, 500, 700, 900, 1500])
def test_a_full_disk_neither_loses_nor_repeats_a_record(
    path: Path, room: int, only_appends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = a_file(path)
    batch = [facts(word) for word in "abcdef"]
    disk = Disk(room, monkeypatch)
    if only_appends:
        disk.only_appends()
    for _ in range(3):
        try:
            file.append(batch)
            break
        except OSError:
            disk.room += 200
    else:
        disk.room = BIG
        file.append(batch)
    disk.room = BIG
    file.append([facts("g")])
    file.close()
    assert [word for word in results(path) if len(word) == 1] == list("abcdefg")
    assert whole(path)


@pytest.mark.parametrize("only_appends", [False, True])
def test_a_full_disk_while_another_goes_on(path: Path, only_appends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    file, other = a_file(path), a_file(path)
    other.append([facts("x")])
    disk = Disk(600, monkeypatch)
    if only_appends:
        disk.only_appends()
    with pytest.raises(OSError, match="space"):
        file.append([facts(word) for word in "abcdef"])
    disk.room = BIG
    other.append([facts("y")])
    file.append([facts(word) for word in "abcdef"])
    file.close()
    other.close()
    assert sorted(word for word in results(path) if len(word) == 1) == sorted("xabcdefy")
    assert whole(path)


def test_what_could_not_be_synced_is_written_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next sync of the same pages would say yes, whatever became of them."""
    file = a_file(path)
    file.append([facts("a")])

    def fdatasync(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fdatasync)
        with pytest.raises(OSError, match="Input/output"):
            file.append([facts("b")])
    assert results(path) == ["opened", "a"]
    file.append([facts("b")])
    file.close()
    assert results(path) == ["opened", "a", "b"]
    assert whole(path)


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_who_shortens_it_while_it_is_written_is_told_of(path: Path, kept: int) -> None:
    file = a_file(path)
    file.append([facts("a"), facts("b"), facts("c")])
    lines = path.read_bytes().splitlines(keepends=True)
    os.truncate(path, sum(map(len, lines[:kept])))
    file.append([facts("d")])
    file.close()
    assert "shortened" in results(path)
    if kept:
        assert "missing" in str(verified(path).faults[0])
    else:
        assert "goes on from record 4, which is in none of these files" in str(verified(path).notes[0])


def unfinished(number: int, length: int) -> bytes:
    return (b'{"n":%d,"at":"2026' % number).ljust(length, b"x")


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_who_puts_something_longer_in_the_place_of_records_is_told_of(path: Path, kept: int) -> None:
    """As if a crash had left it: what was there does not become a crash by that."""
    file = a_file(path)
    file.append([facts(word) for word in "abcde"])
    lines = path.read_bytes().splitlines(keepends=True)
    gone = b"".join(lines[kept:])
    path.write_bytes(b"".join(lines[:kept]) + unfinished(kept + 1, len(gone) + 10))
    last = file.append([facts("f")])
    file.close()
    assert "shortened" in results(path)
    assert last.number == 9, "the six, shortened, torn, and f"
    assert not whole(path)


def test_who_puts_another_record_in_the_place_of_the_last_is_told_of(path: Path) -> None:
    file = a_file(path)
    file.append([facts("a"), facts("b")])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    other = a_file(path)
    other.append([facts("another, and longer")])
    other.close()
    file.append([facts("c")])
    file.close()
    assert "shortened" in results(path)
    assert not whole(path)


@pytest.mark.parametrize("kept", [0, 2])
def test_who_shortens_it_while_the_disk_is_full_is_told_of(
    path: Path, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = a_file(path)
    file.append([facts("a"), facts("b"), facts("c")])
    disk = Disk(0, monkeypatch)
    with pytest.raises(OSError, match="space"):
        file.append([facts("d")])
    lines = path.read_bytes().splitlines(keepends=True)
    os.truncate(path, sum(map(len, lines[:kept])))
    with pytest.raises(OSError, match="space"):
        file.append([facts("d")])
    disk.room = BIG
    file.append([facts("d")])
    file.append([facts("e")])
    file.close()
    assert results(path)[-3:] == ["shortened", "d", "e"]
    assert [record.place.number for record in verified(path).records][-1] == (8 if not kept else 7)


@pytest.mark.parametrize("kept", [0, 2])
def test_who_shortens_it_and_renames_it_is_told_of(path: Path, kept: int) -> None:
    file = a_file(path)
    file.append([facts("a"), facts("b"), facts("c")])
    lines = path.read_bytes().splitlines(keepends=True)
    os.truncate(path, sum(map(len, lines[:kept])))
    former = path.with_name("audit.log.1")
    path.rename(former)
    file.append([facts("d")])
    file.close()
    assert results(path) == ["opened", "shortened", "d"]
    assert verified(former, path).records[-1].place.number == 7
