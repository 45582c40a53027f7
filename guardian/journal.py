"""The write journal at work: appended to before a write leaves, by one process at a time.

What its lines say is `balancer.intents`, the file and its lock are `journal_file`. The loop never waits for the disk.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import attrs
import structlog
import trio

from balancer import intents
from balancer.intents import History, Intent, JournalDamaged, Mark

from .journal_file import (
    APPEND,
    COMPACT_AT,
    LONGEST,
    JournalError,
    Lock,
    examine,
    locked,
    open_file,
    read,
    replaced,
    sync_folder,
    understood,
    why,
    write_all,
)
from .turns import Turns

__all__ = ["COMPACT_AT", "JournalError", "WriteJournal", "examine", "open_journal", "open_memory"]


@attrs.frozen
class _Begun:
    intent: Intent
    durable: Callable[[bool], None]


class WriteJournal:
    """Open with `open_journal` or `open_memory`, run `run` in a nursery, hand it to `GroupWrites.adopt`.

    Intents that come while the disk is busy share one sync. After a fault of the disk the next intent first tries to
    write the whole file anew, so that no half-written line is left in it; until that works every intent is refused.

    Several processes may have one open. Each appends only in its turn, and reads what the others have appended before
    it does; who does not want to write looks now and then. What is left open by a process that has died is in doubt.
    """

    def __init__(
        self, path: Path | None, fd: int, size: int, history: History, lock: Lock, *, compact_at: int = COMPACT_AT
    ) -> None:
        """``path``: None for one in memory, which is never on a disk and lasts as long as its processes."""
        self.path = path
        self.history = history  # what the file says, and what is about to be written
        self.begun_elsewhere = 0
        self.lock = lock
        self._fd = fd
        self._size = size  # bytes of whole lines that are in the history
        self._compact_at = compact_at
        self._dirty = False  # the file lacks some of what the history says
        self._retired = False
        self._work = trio.Event()
        self._waiting: deque[_Begun | bytes] = deque()
        self._wanted: Callable[[], None] | None = None  # called when it is our turn
        self._using = False  # a write of ours is on its way
        self._turns = lock.turns
        self._disk = trio.CapacityLimiter(1)
        self._log = structlog.get_logger(journal=str(path))

    # --- what `GroupWrites` says ---------------------------------------------------------------------------------

    def begin(self, intent: Intent, request: bytes, durable: Callable[[bool], None]) -> None:
        whole = attrs.evolve(intent, digest=self.history.digest(request), at=time.time())
        self._using = True
        self.history.begin(whole)
        self._put(_Begun(whole, durable))

    def tell(self, name: str, mark: Mark) -> None:
        self.history.tell(name, mark)
        self._put(intents.mark_line(name, mark))

    def end(self, number: int, result: str) -> None:
        self.history.end(number)
        self._put(intents.end_line(number, result))
        self._using = False

    def equal(self, name: str, last: int) -> None:
        self.history.equal(name, last)
        self._put(intents.equal_line(name, last))

    def _put(self, record: _Begun | bytes) -> None:
        self._waiting.append(record)
        self._work.set()

    # --- among processes -----------------------------------------------------------------------------------------

    def take_turn(self, again: Callable[[], None]) -> bool:
        if self._using:
            return True
        if self._turns.held:  # what we wrote last is still to be noted; who waits comes first
            self._using = not self._turns.contested
        elif self._turns.try_take():
            self._caught_up()
            self._using = True
        self._wanted = None if self._using else again
        if not self._using:
            self._work.set()
        return self._using

    def give_turn(self) -> None:
        if self._using or self._wanted is not None:
            self._using, self._wanted = False, None
            self._turns.leave_line()
            self._work.set()

    def look(self) -> None:
        if self._turns.held:
            return  # nobody else writes
        try:
            self._read_on()
        except OSError as exc:
            self._log.error("the write journal cannot be read", reason=why(exc))
        if self.history.open and not self._using:
            if self._turns.try_take():  # whoever began that write is no more
                self._caught_up()
                self._work.set()
            elif self._wanted is None:
                self._turns.leave_line()

    def _caught_up(self) -> None:
        """It is our turn: know everything, and settle what somebody has left open."""
        try:
            self._read_on()
            if os.fstat(self._fd).st_size > self._size:
                os.ftruncate(self._fd, self._size)  # half a line of somebody who died
        except OSError as exc:
            self._dirty = True
            self._log.error("the write journal cannot be read", reason=why(exc))
        if self.history.open and not self._using:
            self._log.warning("another process has died in the middle of a write")
            for line in self.history.recover():
                self._put(line)

    def _read_on(self) -> None:
        """Take in the lines that others have appended, or the file that they have put in its place. Raises OSError."""
        if self.path is not None and replaced(self._fd, self.path):
            self._read_anew(self.path)
            return
        size = os.fstat(self._fd).st_size
        if size <= self._size:
            return
        data = os.pread(self._fd, size - self._size, self._size)
        whole = data[: data.rfind(b"\n") + 1]
        try:
            self.begun_elsewhere += intents.read_on(self.history, whole.split(b"\n")[:-1])
        except JournalDamaged as exc:
            raise JournalError(str(exc)) from exc
        self._size += len(whole)

    def _read_anew(self, path: Path) -> None:
        fd = os.open(path, APPEND)
        try:
            content = os.pread(fd, LONGEST, 0)
            history, whole = understood(content)
            if history is None:
                raise JournalDamaged("it is empty")  # noqa: TRY301 - told like every damage
        except JournalDamaged as exc:
            os.close(fd)
            raise JournalError(str(exc)) from exc
        begun = history.last > self.history.last
        for line in self._waiting:
            if isinstance(line, bytes):
                intents.read_on(history, [line.rstrip()])
        os.close(self._fd)
        self._fd, self._size, self.history = fd, len(whole), history
        self.begun_elsewhere += begun

    # --- the task ------------------------------------------------------------------------------------------------

    async def run(self, flush: Callable[[], None]) -> None:
        """Write what comes until cancelled; ``flush`` lets go what became sendable by it."""
        try:
            while True:
                await self._work.wait()
                self._work = trio.Event()
                if self._waiting:
                    await self._turn()
                batch = list(self._waiting)
                self._waiting.clear()
                try:
                    if batch:
                        await self._take(batch)
                except BaseException:
                    self._waiting.extendleft(reversed(batch))
                    raise
                if not self._using and not self._waiting:
                    self._turns.give()
                if self._wanted is not None and not self._waiting:
                    await self._turn()
                    self._go_ahead()
                flush()
                if self._retired and not self._waiting:
                    return
        finally:
            self.close()

    async def _turn(self) -> None:
        if await self._turns.take():
            self._caught_up()

    def _go_ahead(self) -> None:
        again, self._wanted = self._wanted, None
        if again is not None and not self._using:  # nobody has thought better of it
            self._using = True
            try:
                again()
            except Exception as exc:  # noqa: BLE001 - the barrier: other writes still need the journal
                self._log.error("a fault of the proxy's own: a write is given up", exc_info=exc)
        self._work.set()

    async def _take(self, batch: list[_Begun | bytes]) -> None:
        begun = [record for record in batch if isinstance(record, _Begun)]
        # All of it is in the history now, so a file made anew holds the batch too.
        anew = self.path is not None and (self._dirty or self._size >= self._compact_at)
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
        # Where it is another's turn, what is left says that a device is equal: it will be shown again.
        if notes and not self._dirty and (self._turns.held or self._turns.try_take()):
            self._write(notes, False, False)
        os.close(self._fd)
        self._fd = -1
        self.lock.close()

    # --- in the thread -------------------------------------------------------------------------------------------

    def _write(self, lines: Iterable[bytes], anew: bool, sync: bool) -> bool:
        """Says whether it worked; then, with ``sync``, it will be there after a power cut. Never raises OSError."""
        try:
            if anew and self.path is not None:
                self._replace(self.path, b"".join(lines))
            else:
                if self.path is not None and not os.fstat(self._fd).st_nlink:
                    raise FileNotFoundError(errno.ENOENT, "somebody removed the file")
                data = b"".join(lines)
                write_all(self._fd, data)
                if sync and self.path is not None:
                    os.fdatasync(self._fd)
                self._size += len(data)
        except OSError as exc:
            self._dirty = True
            with suppress(OSError):  # no other process must find half a line
                os.ftruncate(self._fd, self._size)
            self._log.error("write journal failed", reason=exc.strerror or type(exc).__name__)
            return False
        if self._dirty:
            self._log.warning("write journal works again")
        self._dirty = False
        return True

    def _replace(self, path: Path, data: bytes) -> None:
        """A new file in the place of the old, which is kept beside it as ``.old``. At every moment there is one."""
        fresh = path.with_name(path.name + ".new")
        former = path.with_name(path.name + ".old")
        fresh.unlink(missing_ok=True)
        fd = os.open(fresh, APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            write_all(fd, data)
            os.fsync(fd)
            with suppress(OSError):  # it is for people only, and not every file system has links
                former.unlink(missing_ok=True)
                os.link(path, former)
            os.replace(fresh, path)
            sync_folder(path)
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._size = fd, len(data)


def open_journal(path: Path, *, owner: int | None = None, compact_at: int = COMPACT_AT) -> WriteJournal:
    """Open it, or make it; half a line at its end, of a crash, is cut off. Raises `JournalError`.

    What it leaves open is in doubt from now on: see ``history.behind``. Blocks for as long as reading a file takes.
    ``owner``: the descriptor of its lock, from the process that hands the journal down, and may be writing now.
    """
    try:
        fd = open_file(path)
    except OSError as exc:
        raise JournalError(f"{path}: {why(exc)}") from exc
    try:
        lock = locked(path, owner)
    except OSError as exc:
        os.close(fd)
        raise JournalError(f"{path}: {why(exc)}") from exc
    try:
        if replaced(fd, path):  # whoever had it before us has just put another in its place
            os.close(fd)
            fd = open_file(path)
        history, size = read(path, fd, ours=lock.turns.try_take())
    except JournalDamaged as exc:
        os.close(fd)
        lock.close()
        raise JournalError(
            f"{path}: {exc}; nobody knows what else it said. See docs/operations.md, A damaged write journal"
        ) from exc
    except OSError as exc:
        os.close(fd)
        lock.close()
        raise JournalError(str(exc) if isinstance(exc, JournalError) else f"{path}: {why(exc)}") from exc
    lock.turns.give()
    lock.turns.leave_line()
    return WriteJournal(path, fd, size, history, lock, compact_at=compact_at)


def open_memory(owner: int | None = None) -> WriteJournal:
    """A journal that several processes share and no disk has; ``owner``: its descriptor, from who handed it down.

    Raises `JournalError`.
    """
    try:
        owner = os.memfd_create("guardian-writes") if owner is None else owner
        os.set_inheritable(owner, False)
        fd, turns = (os.open(f"/proc/self/fd/{owner}", APPEND) for _ in range(2))  # each with locks of its own
        lock = Lock(owner, Turns(turns))
        history, size = read(None, fd, ours=lock.turns.try_take())
    except (OSError, JournalDamaged) as exc:
        raise JournalError(f"the order of writes cannot be shared: {exc}") from exc
    lock.turns.give()
    lock.turns.leave_line()
    return WriteJournal(None, fd, size, history, lock)


def _line(record: _Begun | bytes) -> bytes:
    return record if isinstance(record, bytes) else intents.intent_line(record.intent)
