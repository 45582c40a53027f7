"""The write journal on disk: an append-only file, on stable storage before a write leaves.

What its lines say is `balancer.intents`; here are the file, its lock and its thread. The loop never waits for the disk.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs
import structlog
import trio

from balancer import intents
from balancer.intents import History, Intent, JournalDamaged, Mark

COMPACT_AT: Final = 1_048_576  # bytes: about 2,500 writes to three devices
_BEGINNING: Final = b'{"journal":'
_LONGEST: Final = 64 * COMPACT_AT  # no journal of ours: it must not be read into memory


class JournalError(OSError):
    """The journal cannot be used; the text names the file and says why."""


@attrs.frozen
class _Begun:
    intent: Intent
    durable: Callable[[bool], None]


class WriteJournal:
    """Open with `open_journal`, run `run` in a nursery, hand it to `GroupWrites.adopt`.

    Intents that come while the disk is busy share one sync. After a fault of the disk the next intent first tries to
    write the whole file anew, so that no half-written line is left in it; until that works every intent is refused.
    """

    def __init__(self, path: Path, fd: int, size: int, history: History, *, compact_at: int = COMPACT_AT) -> None:
        self.path = path
        self.history = history  # what the file says, and what is about to be written
        self._fd = fd
        self._size = size  # bytes of whole lines
        self._compact_at = compact_at
        self._dirty = False  # the file may end in half a line
        self._retired = False
        self._work = trio.Event()
        self._waiting: deque[_Begun | bytes] = deque()
        self._disk = trio.CapacityLimiter(1)
        self._log = structlog.get_logger(journal=str(path))

    # --- what `GroupWrites` says ---------------------------------------------------------------------------------

    def begin(self, intent: Intent, request: bytes, durable: Callable[[bool], None]) -> None:
        whole = attrs.evolve(intent, digest=self.history.digest(request), at=time.time())
        self._put(_Begun(whole, durable))

    def tell(self, name: str, mark: Mark) -> None:
        self.history.tell(name, mark)
        self._put(intents.mark_line(name, mark))

    def end(self, number: int, result: str) -> None:
        self.history.end(number)
        self._put(intents.end_line(number, result))

    def equal(self, name: str) -> None:
        self.history.equal(name)
        self._put(intents.equal_line(name))

    def _put(self, record: _Begun | bytes) -> None:
        self._waiting.append(record)
        self._work.set()

    # --- the task ------------------------------------------------------------------------------------------------

    async def run(self, flush: Callable[[], None]) -> None:
        """Write what comes until cancelled; ``flush`` lets go what became sendable by it."""
        try:
            while True:
                await self._work.wait()
                self._work = trio.Event()
                batch = list(self._waiting)
                self._waiting.clear()
                try:
                    await self._take(batch)
                except BaseException:
                    self._waiting.extendleft(reversed(batch))
                    raise
                flush()
                if self._retired and not self._waiting:
                    return
        finally:
            self.close()

    async def _take(self, batch: list[_Begun | bytes]) -> None:
        begun = [record for record in batch if isinstance(record, _Begun)]
        for record in begun:
            self.history.begin(record.intent)
        # All of it is in the history now, so a file made anew holds the batch too.
        anew = self._dirty or self._size >= self._compact_at
        lines = self.history.lines() if anew else [_line(record) for record in batch]
        done = await trio.to_thread.run_sync(self._write, lines, anew, bool(begun), limiter=self._disk)
        for record in begun:
            if not done:
                self.history.end(record.intent.number)
            try:
                record.durable(done)
            except Exception as exc:  # noqa: BLE001 - the barrier: other writes still need the journal
                self._log.error("a fault of the proxy's own: a write is given up", exc_info=exc)

    def retire(self) -> None:
        """Nothing new will come: `run` ends when what is there is written."""
        self._retired = True
        self._work.set()

    def close(self) -> None:
        """Write what is still there, and let go of the file. An intent that had no answer yet gets none."""
        if self._fd < 0:
            return
        notes = [record for record in self._waiting if isinstance(record, bytes)]
        self._waiting.clear()
        if notes and not self._dirty:
            self._write(notes, False, False)
        os.close(self._fd)
        self._fd = -1

    # --- in the thread -------------------------------------------------------------------------------------------

    def _write(self, lines: Iterable[bytes], anew: bool, sync: bool) -> bool:
        """Says whether it worked; then, with ``sync``, it will be there after a power cut. Never raises OSError."""
        try:
            if anew:
                self._replace(b"".join(lines))
            else:
                if not os.fstat(self._fd).st_nlink:
                    raise FileNotFoundError(errno.ENOENT, "somebody removed the file")
                data = b"".join(lines)
                _write_all(self._fd, data)
                self._size += len(data)
                if sync:
                    os.fdatasync(self._fd)
        except OSError as exc:
            self._dirty = True
            self._log.error("write journal failed", reason=exc.strerror or type(exc).__name__)
            return False
        if self._dirty:
            self._log.warning("write journal works again")
        self._dirty = False
        return True

    def _replace(self, data: bytes) -> None:
        """A new file in the place of the old, which is kept beside it as ``.old``. At every moment there is one."""
        fresh = self.path.with_name(self.path.name + ".new")
        former = self.path.with_name(self.path.name + ".old")
        fresh.unlink(missing_ok=True)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_all(fd, data)
            os.fsync(fd)
            with suppress(OSError):  # it is for people only, and not every file system has links
                former.unlink(missing_ok=True)
                os.link(self.path, former)
            os.replace(fresh, self.path)
            _sync_folder(self.path)
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._size = fd, len(data)


def open_journal(path: Path, *, compact_at: int = COMPACT_AT) -> WriteJournal:
    """Open it, or make it; half a line at its end, of a crash, is cut off. Raises `JournalError`.

    What it leaves open is in doubt from now on: see ``history.behind``. Blocks for as long as reading a file takes.
    """
    try:
        fd = _open_locked(path)
    except OSError as exc:
        raise JournalError(f"{path}: {_why(exc)}") from exc
    try:
        with os.fdopen(os.dup(fd), "rb") as file:
            file.seek(0)
            content = file.read(_LONGEST + 1)
        if len(content) > _LONGEST:
            raise JournalError(f"{path}: is longer than any write journal gets")
        history, whole = _understood(content)
        os.fchmod(fd, 0o600)
        if history is None:
            history = History(secrets.token_bytes(32))
            whole = intents.header_line(history.salt)
            os.ftruncate(fd, 0)
            _write_all(fd, whole)
        elif len(whole) < len(content):
            os.ftruncate(fd, len(whole))
    except JournalDamaged as exc:
        os.close(fd)
        raise JournalError(
            f"{path}: {exc}; nobody knows what else it said. See docs/operations.md, A damaged write journal"
        ) from exc
    except OSError as exc:
        os.close(fd)
        raise JournalError(str(exc) if isinstance(exc, JournalError) else f"{path}: {_why(exc)}") from exc
    history.recover()
    return WriteJournal(path, fd, len(whole), history, compact_at=compact_at)


def examine(path: Path) -> str | None:
    """What is wrong with a journal that may be in use, for `guardian check`; None where nothing is."""
    try:
        if not path.exists():
            return None
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
        if len(content) > _LONGEST:
            return "is longer than any write journal gets"
        _understood(content)
    except JournalDamaged as exc:
        return str(exc)
    except (OSError, ValueError) as exc:
        return f"cannot be read ({_why(exc) if isinstance(exc, OSError) else 'no file can have that name'})"
    return None


def _understood(content: bytes) -> tuple[History | None, bytes]:
    """What a file says, None where it says nothing yet, and its whole lines. Raises `JournalDamaged`."""
    whole = content[: content.rfind(b"\n") + 1]
    if not whole and content[: len(_BEGINNING)] != _BEGINNING[: len(content)]:
        raise JournalDamaged("it is no write journal")  # but somebody's file, which must not be cut off
    return intents.read(whole.split(b"\n")[:-1]), whole


def _open_locked(path: Path) -> int:
    """Raises OSError, EWOULDBLOCK where another process has it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "is no regular file")  # noqa: TRY301 - closed below
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), path.stat()):
                _sync_folder(path)
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # whoever held it has just put another in its place


def _why(exc: OSError) -> str:
    if exc.errno == errno.EWOULDBLOCK:
        return "is in use by another process"
    return exc.strerror or type(exc).__name__


def _line(record: _Begun | bytes) -> bytes:
    return record if isinstance(record, bytes) else intents.intent_line(record.intent)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sync_folder(path: Path) -> None:
    """So that the name of a new file is there after a power cut, too."""
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
