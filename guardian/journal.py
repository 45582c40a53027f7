"""The write journal at work: appended to before a write leaves, by one process at a time.

What its lines say is `balancer.intents`, the file and its lock are `journal_file`. The loop never waits for the disk.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

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
    JournalFile,
    Lock,
    examine,
    locked,
    open_file,
    read,
    replaced,
    understood,
    why,
)
from .logs import RateLimited
from .turns import Turns

__all__ = ["COMPACT_AT", "JournalError", "WriteJournal", "examine", "open_journal", "open_memory"]

_RETRY: Final = 1.0  # seconds until what could not be written is tried again
_ASK_EVERY: Final = 1.0  # seconds: whether another process has come


@attrs.frozen
class _Begun:
    intent: Intent
    durable: Callable[[bool], None]


class WriteJournal:
    """Open with `open_journal` or `open_memory`, run `run` in a nursery, hand it to `GroupWrites.adopt`.

    Intents that come while the disk is busy share one sync. After a fault of the disk the whole file is written anew,
    so that no half-written line is left in it; until that works every intent is refused, and nobody else has the turn.

    Several processes may have one open. Each appends only in its turn, and reads what the others have appended before
    it does, and writes nothing where it cannot; who does not want to write looks now and then. What is left open by a
    process that has died is in doubt.

    Closed, it refuses every write and notes nothing: what is open then is in doubt for whoever opens it next.
    """

    def __init__(
        self, path: Path | None, fd: int, size: int, history: History, lock: Lock, *, compact_at: int = COMPACT_AT
    ) -> None:
        """``path``: None for one in memory, which is never on a disk and lasts as long as its processes."""
        self.path = path
        self.history = history  # what the file says, and what is about to be written
        self.begun_elsewhere = 0
        self.heard = list(history.begun)
        self.lock = lock
        self._file = JournalFile(path, fd, size)
        self._compact_at = compact_at
        self._retired = False
        self._work = trio.Event()
        self._waiting: deque[_Begun | bytes] = deque()
        self._wanted: Callable[[], None] | None = None  # called when it is our turn
        self._using = False  # a write of ours is on its way
        self._blind = False  # it could not be read: the write that is to begin is refused
        self._company = False  # another process has it too, or is about to
        self._ask_at = -math.inf
        self._turns = lock.turns
        self._complaint = RateLimited(60.0)
        self._disk = trio.CapacityLimiter(1)
        self._log = structlog.get_logger(journal=str(path))

    # --- what `GroupWrites` says ---------------------------------------------------------------------------------

    def begin(self, intent: Intent, request: bytes, durable: Callable[[bool], None]) -> None:
        if self._blind or self._closed:
            durable(False)
            return
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

    def go_on_from(self, number: int) -> None:
        self.history.go_on_from(number)
        self._put(intents.last_line(number))

    def _put(self, record: _Begun | bytes) -> None:
        self._waiting.append(record)
        self._work.set()

    # --- among processes -----------------------------------------------------------------------------------------

    @property
    def alone(self) -> bool:
        return not self._closed and self._turns.alone

    def share(self, *, always: bool = False) -> None:
        """It is handed down now. ``always``: others come and go, and it is never ours alone."""
        self._company, self._ask_at = True, math.inf if always else time.monotonic() + _ASK_EVERY

    def take_turn(self, again: Callable[[], None]) -> bool:
        if self._closed:
            return False
        self._blind = False
        if self._using:
            return True
        if self._turns.held:  # what we wrote last is still to be noted; who waits comes first
            self._using = not self._turns.contested
        elif self._turns.try_take():
            self._using = self._caught_up()
            self._blind = not self._using
        self._wanted = None if self._using or self._blind else again
        if self._wanted is not None:
            self._work.set()
        return self._using or self._blind

    def give_turn(self) -> None:
        if self._closed:
            return
        self._blind = False
        if self._using or self._wanted is not None:
            self._using, self._wanted = False, None
            self._turns.leave_line()
            self._work.set()

    def look(self) -> None:
        if self._closed or self._turns.held or not (self._in_company() or self.history.open):
            return  # nobody else writes
        try:
            self._read_on()
        except OSError as exc:
            self._complain(exc)
        if self.history.open and not self._using:
            if self._turns.try_take():  # whoever began that write is no more
                self._caught_up()
                self._work.set()
            elif self._wanted is None:
                self._turns.leave_line()

    def _in_company(self) -> bool:
        now = time.monotonic()
        if now >= self._ask_at:
            self._ask_at = now + _ASK_EVERY
            self._company = not self._turns.alone
        return self._company

    def _complain(self, exc: OSError) -> None:
        held_back = self._complaint.admit(time.monotonic())
        if held_back is not None:
            self._log.error("the write journal cannot be read", reason=_said(exc), held_back=held_back)

    def _caught_up(self) -> bool:
        """It is our turn: know everything, and settle what somebody has left open; False, the turn given, if it cannot.

        What we remember is then not what the file says, and must not be written in its place.
        """
        try:
            self._read_on()
            self._file.cut()  # half a line of somebody who died
        except OSError as exc:
            self._complain(exc)
            self._turns.give()
            return False
        if self.history.open and not self._using:
            self._log.warning("another process has died in the middle of a write")
            for line in self.history.recover():
                self._put(line)
        return True

    def _read_on(self) -> None:
        """Take in the lines that others have appended, or the file that they have put in its place. Raises OSError."""
        if self.path is not None and replaced(self._file.fd, self.path):
            self._read_tail()
            fd = os.open(self.path, APPEND)
            try:
                self._read_anew(fd)
            except BaseException:
                os.close(fd)
                raise
            self._file.exchange(fd)
        elif os.fstat(self._file.fd).st_size < self._file.size:
            self._read_anew(self._file.fd)  # who wrote that could not bring it to the disk
        else:
            self._read_tail()

    def _read_tail(self) -> None:
        whole = self._file.tail()
        try:
            self._hear(intents.read_on(self.history, whole.split(b"\n")[:-1]))
        except JournalDamaged as exc:
            raise JournalError(str(exc)) from exc
        self._file.size += len(whole)

    def _read_anew(self, fd: int) -> None:
        begun: list[Intent] = []
        try:
            history, whole = understood(os.pread(fd, LONGEST, 0), begun)
            if history is None:
                raise JournalDamaged("it is empty")  # noqa: TRY301 - told like every damage
        except JournalDamaged as exc:
            raise JournalError(str(exc)) from exc
        self._hear([intent for intent in begun if intent.number > self.history.last])
        for line in self._waiting:
            if isinstance(line, bytes):
                intents.read_on(history, [line.rstrip()])
            else:
                history.begin(line.intent)
        self._file.size, self.history = len(whole), history

    def _hear(self, begun: list[Intent]) -> None:
        self.begun_elsewhere += len(begun)
        self.heard += begun

    # --- the task ------------------------------------------------------------------------------------------------

    async def run(self, flush: Callable[[], None]) -> None:
        """Write what comes until cancelled; ``flush`` lets go what became sendable by it."""
        try:
            while True:
                with trio.move_on_after(_RETRY if self._waiting or self._file.dirty else math.inf):
                    await self._work.wait()
                self._work = trio.Event()
                if self._waiting or self._file.dirty:
                    await self._write_down()
                if not (self._using or self._waiting or self._file.dirty):
                    self._turns.give()
                if self._wanted is not None and not self._waiting:
                    self._go_ahead(ours=await self._turn())
                flush()
                if self._retired and (self._file.dirty or not (self._waiting and self._turns.held)):
                    return
        finally:
            self.close()

    async def _turn(self) -> bool:
        """Whether it is ours now, and everything known."""
        return not await self._turns.take() or self._caught_up()

    async def _write_down(self) -> None:
        if not await self._turn():  # notes wait; what was begun without a turn must not
            begun = [record for record in self._waiting if isinstance(record, _Begun)]
            self._waiting = deque(record for record in self._waiting if isinstance(record, bytes))
            self._tell(begun, durable=False)
            return
        batch = list(self._waiting)
        self._waiting.clear()
        try:
            await self._take(batch)
        except BaseException:
            self._waiting.extendleft(reversed(batch))
            raise

    def _go_ahead(self, *, ours: bool) -> None:
        again, self._wanted = self._wanted, None
        if again is not None and not self._using:  # nobody has thought better of it
            self._using = ours
            try:
                again()
            except Exception as exc:  # noqa: BLE001 - the barrier: other writes still need the journal
                self._using = any(isinstance(record, _Begun) for record in self._waiting)
                self._log.error("a fault of the proxy's own: a write is given up", exc_info=exc)
        self._work.set()

    async def _take(self, batch: list[_Begun | bytes]) -> None:
        begun = [record for record in batch if isinstance(record, _Begun)]
        # All of it is in the history now, so a file made anew holds the batch too.
        anew = self.path is not None and (self._file.dirty or self._file.size >= self._compact_at)
        lines = self.history.lines() if anew else [_line(record) for record in batch]
        done = await trio.to_thread.run_sync(self._file.write, lines, anew, bool(begun), limiter=self._disk)
        if not done:
            self._waiting.extendleft(record for record in reversed(batch) if isinstance(record, bytes))
        self._tell(begun, durable=done)

    def _tell(self, begun: list[_Begun], *, durable: bool) -> None:
        for record in begun:
            if not durable:
                self.history.end(record.intent.number)
            try:
                record.durable(durable)
            except Exception as exc:  # noqa: BLE001 - the barrier: other writes still need the journal
                self._using = False  # what is open is settled as if we had died in it
                self._log.error("a fault of the proxy's own: a write is given up", exc_info=exc)

    def retire(self) -> None:
        """Nothing new will come: `run` ends when what is there is written."""
        self._retired = True
        self._work.set()

    @property
    def _closed(self) -> bool:
        return self._file.fd < 0

    def close(self) -> None:
        """Write what is still there, and let go of the file. An intent that had no answer yet gets none."""
        if self._closed:
            return
        notes = [record for record in self._waiting if isinstance(record, bytes)]
        self._waiting.clear()
        # Where it is another's turn, what is left says that a device is equal: it will be shown again.
        if notes and not self._file.dirty and (self._turns.held or self._turns.try_take()):
            self._file.write(notes, False, False)
        os.close(self._file.fd)
        self._file.fd = -1
        self.lock.close()


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


def _said(exc: OSError) -> str:
    return str(exc) if isinstance(exc, JournalError) else why(exc)


def _line(record: _Begun | bytes) -> bytes:
    return record if isinstance(record, bytes) else intents.intent_line(record.intent)
