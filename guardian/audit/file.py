"""The audit file on disk: appended to, never changed; renamed when it is long, and the chain goes on in the next.

Everything here blocks and belongs to the writer's thread. Several processes may write into one file, as while one hands
over to the next: each holds the lock for one batch, and goes on from whatever is the last record then.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import gzip
import os
import re
import stat
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, cast

import attrs

from .chain import OPENED, START, TORN, NoRecord, Place, begins_as, own_fields, read, sealed, torn_detail

_TAIL: Final = 65_536  # bytes; the longest record has about 20,000
_UNKNOWN: Final = -1
_LOOKED_AT: Final = 8  # former files among which the last record is looked for
_FORMER: Final = re.compile(r"\.\d{8}T\d{6}Z-\d+")  # what a former file has behind the name


class AuditError(OSError):
    """The file cannot be used; the text names it and says why."""


@attrs.frozen(kw_only=True)
class _End:
    """What stands at the end of a file."""

    last: Place | None = None  # the last record; None where there is none
    rest: bytes = b""  # what stands after it: lines that were not finished
    open: bool = False  # the newline is missing
    damaged: bool = False  # the rest is nothing that was ever to be a record


class AuditFile:
    """Append with `append`; `open` makes sure, early, that this will work."""

    def __init__(self, path: Path, *, key: bytes | None, max_size: int, sync: bool) -> None:
        """``max_size`` bytes; ``sync``: what `append` wrote outlives a power cut."""
        self.path = path
        self._key = key
        self._max_size = max_size
        self._sync = sync
        self._fd = -1
        self._size = _UNKNOWN  # bytes that were in it when we last wrote
        self._last = START  # the last record that we know to be written
        self._holds_last = False  # the file that is open is the one that it was in
        self._cut = ""  # somebody has taken out what was written; what is to be said of that
        self._prefaced = START  # the last record of the lines that must come first
        self._tried: list[Place] = []  # of a batch that could not be written, or only in part

    def open(self) -> None:
        """Make it, if it is not there. Raises `AuditError`, also where it is somebody else's file."""
        try:
            self._open()
            with suppress(BlockingIOError):  # another process writes, so that it can be written
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._length():
                    self._end()
                self._clear_up()
                self._let_go()
        except OSError as exc:
            self.close()
            raise exc if isinstance(exc, AuditError) else AuditError(f"{self.path}: {exc.strerror or exc}") from exc

    def append(self, batch: Sequence[Mapping[str, str]]) -> Place:
        """Write records; gives the place of the last.

        Raises OSError. Then some may be written, and all are to be given again, first and in the same order.
        """
        self._hold()
        try:
            lines, written = self._preface()
            last = self._last if not lines else self._prefaced
            places: list[Place] = []
            for fields in batch[written:]:
                line, last = sealed(fields, last, self._key)
                lines.append(line)
                places.append(last)
            self._tried += places
            try:
                self._write(b"".join(lines))
            except OSError:
                self._take_back()
                raise
            self._last, self._tried, self._cut, self._holds_last = last, [], "", True
            if self._size >= self._max_size:
                self._begin_next()
        except OSError:
            self._size = _UNKNOWN
            raise
        finally:
            self._let_go()
        return last

    def _take_back(self) -> None:
        """Of a batch that failed nothing is to stay, nor is it to count as written because a later sync says so."""
        with suppress(OSError):  # a file that may only be appended to keeps what there is
            os.ftruncate(self._fd, self._size)
            self._tried.clear()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._size = _UNKNOWN
        self._holds_last = False

    # --- the file that has the name now --------------------------------------------------------------------------

    def _hold(self) -> None:
        """Have the file that has the name, and its lock."""
        while True:
            if self._fd < 0:
                self._open()
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            if self._is_named():
                return
            # Somebody has renamed it: what is last there comes before what is first in the next.
            self._cut = self._follow(self._end() if self._length() else _End()) or self._cut
            self.close()

    def _let_go(self) -> None:
        if self._fd >= 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        self._fd = os.open(self.path, flags, 0o600)
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self.close()
            raise AuditError(f"{self.path}: is no regular file")
        _sync_folder(self.path.parent)

    def _is_named(self) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._fd), self.path.stat())
        return False

    def _length(self) -> int:
        return os.fstat(self._fd).st_size

    def _end(self) -> _End:
        """Raises `AuditError` where no record is in sight."""
        size = self._length()
        start = max(size - _TAIL, 0)
        tail = os.pread(self._fd, size - start, start)
        end = _end_of(tail)
        reached = 0 if end.last is None else end.last.number
        while self._tried and (self._tried[-1].number > reached or self._tried[-1].digest.encode() not in tail):
            self._tried.pop()
        if end.last is None and end.damaged:
            raise AuditError(f"{self.path}: is no audit file: its end holds no record")
        return end

    # --- what is written -----------------------------------------------------------------------------------------

    def _preface(self) -> tuple[list[bytes], int]:
        """The lines that must come before the next record, and how many of a batch that failed are in the file."""
        size = self._length()
        if size == self._size and size:
            return [], 0
        self._size = size
        end = self._end() if size else _End()
        self._cut = self._follow(end) or self._cut
        if self._last == START:
            self._last = _last_of_former(self.path)
        self._prefaced = self._last
        lines: list[bytes] = []
        if not size:
            self._tried.clear()
            number = self._last.number
            lines += self._say(OPENED, f"goes on from record {number}" if number else "the first of all")
        written = len(self._tried)
        if self._cut:
            lines += self._say("shortened", self._cut)
        if end.damaged:
            lines += self._say("damaged", "what stands before this is no record")
        elif end.rest:
            lines += self._say(TORN, torn_detail(end.rest))
        return [b"\n", *lines] if end.open else lines, written

    def _follow(self, end: _End) -> str:
        """Go on from the end of a file. If it lacks what we know to be written: from that; says then what is wrong.

        Not its size tells: what was cut off can be made up for with anything.
        """
        last, ours = end.last, self._last
        if last is None:  # a new file, or the first record of this one was not finished
            return "somebody has taken out every record" if self._holds_last else ""
        if last.number < ours.number:
            return f"somebody has cut off what came after record {last.number}"
        if last.number == ours.number and last.digest != ours.digest:
            return f"somebody has put another record in the place of record {last.number}"
        self._last, self._holds_last = last, True
        return ""

    def _say(self, result: str, detail: str) -> list[bytes]:
        line, self._prefaced = sealed(own_fields(time.time(), result, detail), self._prefaced, self._key)
        return [line]

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        if self._sync:
            os.fdatasync(self._fd)
        self._size += len(data)

    def _begin_next(self) -> None:
        """Rename the file, which is long enough. At every moment there is one of its name.

        Where that cannot be done this one goes on, and it is tried again after the next batch.
        """
        number = self._last.number
        former = self.path.with_name(f"{self.path.name}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{number}")
        self._prefaced = self._last
        line = self._say(OPENED, f"goes on from record {number}")[0]
        with suppress(OSError):
            self._clear_up()
            fd = os.open(self._fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.fchmod(fd, stat.S_IMODE(os.fstat(self._fd).st_mode))
                fcntl.flock(fd, fcntl.LOCK_EX)
                _write_whole(fd, line)
                _rename_two(self.path, former, self._fresh)
            except OSError:
                os.close(fd)
                self._clear_up()
                raise
            os.close(self._fd)
            self._fd, self._size, self._last = fd, len(line), self._prefaced
            _sync_folder(self.path.parent)

    @property
    def _fresh(self) -> Path:
        """What the next file is called until it has the name: not like a former file, or it would be taken for one."""
        return self.path.with_name(f".{self.path.name}.new")

    def _clear_up(self) -> None:
        """What a renaming that was broken off has left: the next file, and a second name of this one.

        Only who has the lock of the file that has the name may do this; to others it does nothing.
        """
        with suppress(OSError):
            if not self._is_named():
                return
            self._fresh.unlink(missing_ok=True)
            ours = os.fstat(self._fd)
            if ours.st_nlink == 1:
                return
            for each in self.path.parent.glob(glob.escape(self.path.name) + ".*"):
                second = _FORMER.fullmatch(each.name.removeprefix(self.path.name))
                if second is not None and os.path.samestat(ours, each.lstat()):
                    each.unlink()


def _rename_two(path: Path, former: Path, fresh: Path) -> None:
    """``path`` becomes ``former``, ``fresh`` becomes ``path``."""
    try:
        os.link(path, former)
    except OSError:  # not every file system has links; then nothing has the name for a moment
        os.rename(path, former)
    os.replace(fresh, path)


def _write_whole(fd: int, line: bytes) -> None:
    if os.write(fd, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(fd)


def opened(path: Path) -> BinaryIO:
    """A file of records to read; ``.gz`` is unpacked. Raises OSError."""
    return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _last_of_former(path: Path) -> Place:
    """The last record of the files that were renamed from this one; `START` where there are none."""
    found = START
    with suppress(OSError):
        formers = [each for each in path.parent.glob(glob.escape(path.name) + "?*") if each.is_file()]
        formers.sort(key=lambda each: each.stat().st_mtime, reverse=True)
        for former in formers[:_LOOKED_AT]:
            with suppress(OSError, EOFError):
                last = _end_of(_tail_of(former)).last
                if last is not None and last.number > found.number:
                    found = last
    return found


def _tail_of(path: Path) -> bytes:
    with opened(path) as file:
        if path.suffix != ".gz":
            file.seek(max(path.stat().st_size - _TAIL, 0))
            return file.read()
        tail = b""
        while part := file.read(_TAIL):
            tail = (tail + part)[-_TAIL:]
        return tail


def _end_of(tail: bytes) -> _End:
    lines = tail.split(b"\n")
    is_open = bool(lines[-1])
    if not is_open:
        lines.pop()
    last, after = None, len(lines)
    while after and last is None:
        with suppress(NoRecord):
            last = read(lines[after - 1]).place
            break
        after -= 1
    rest = lines[after:]
    damaged = not all(line and begins_as(line, None) for line in rest)
    return _End(last=last, rest=b"\n".join(rest), open=is_open, damaged=damaged)


def _sync_folder(folder: Path) -> None:
    """So that a name is there after a power cut, too; where we may not, the system does it in its time."""
    with suppress(PermissionError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as exc:
            if exc.errno != errno.EINVAL:  # some file systems have nothing to sync there
                raise
        finally:
            os.close(fd)
