"""Records on their way to the disk: a queue, and a thread that writes them in batches."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from guardian.events import Event

from .chain import START, Place, fields_of, own_fields
from .file import AuditFile

CAPACITY: Final = 100_000  # records: about 60 MB of memory while the disk is away
_BATCH: Final = 1_000
_AGAIN: Final = 0.5  # seconds between tries while the disk refuses

_Waiting: TypeAlias = deque[tuple[float, Event]]  # each with when it was put, monotonic seconds


class AuditWriter:
    """`put` never waits. A record leaves the queue only when it is in the file.

    The queue is bounded all the same, or a disk that is away would end the process: what comes when it is full is lost
    and counted, and the file says so itself in its next record. ``told`` is called, in the thread, when writing
    begins to fail and when it works again.
    """

    def __init__(self, file: AuditFile, told: Callable[[], None], capacity: int = CAPACITY) -> None:
        self.file = file
        self.records = 0  # written
        self.failures = 0  # tries that failed
        self.lost = 0
        self.fault = ""  # why the last try failed; empty when it did not
        self.last: Place = START
        self._told = told
        self._capacity = capacity
        self.heir: AuditWriter | None = None  # gets what we cannot write when we have retired
        self._queue: queue.SimpleQueue[tuple[float, Event] | None] = queue.SimpleQueue()
        self._turn = threading.Lock()  # of those who put: the loop, and writers that have retired
        self._taken = 0
        self._since = math.inf  # when the oldest record that is being written was put, monotonic seconds
        self._retired = threading.Event()
        self._closing = threading.Event()
        self._ended = False  # whatever is put now, nobody writes
        self._batch: list[Mapping[str, str]] = []  # that could not be written
        self._batch_lost = 0  # of those lost, how many it tells
        self._lost_told = 0
        self._owed = 0  # lost by those whose heir we are
        self._thread = threading.Thread(target=self._run, name="audit writer", daemon=True)
        self._thread.start()

    @property
    def unwritten(self) -> int:
        """Records that wait."""
        return max(self._taken - self.records, 0)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def late(self, now: float) -> float:
        """Seconds for which the oldest of them has waited."""
        return max(now - self._since, 0.0)

    def put(self, event: Event) -> None:
        with self._turn:
            self._put(time.monotonic(), event)

    def inherit(self, since: float, event: Event) -> bool:
        """From one that has retired, in its thread; ``since``: when it was put there. False where we have ended."""
        with self._turn:
            if not self._ended:
                self._put(since, event)
            return not self._ended

    def owe(self, lost: int) -> bool:
        """So many were lost by one that has retired, and its file does not say so: ours will. As `inherit`."""
        with self._turn:
            if not self._ended:
                self._owed += lost
            return not self._ended

    def _put(self, since: float, event: Event) -> None:
        if self._taken - self.records >= self._capacity:
            self.lost += 1
            return
        self._taken += 1
        self._queue.put((since, event))

    def retire(self) -> None:
        """Nobody puts any more: the thread ends when all is written, or when the `heir` has what cannot be written.

        Where there is no heir it goes on trying.
        """
        self._retired.set()
        self._queue.put(None)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what waits, for at most ``timeout`` seconds; False where something is left."""
        self._closing.set()
        self.retire()
        self._thread.join(timeout)
        return not self._thread.is_alive() and not self.unwritten

    # --- in the thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        waiting: _Waiting = deque()
        while not self._done(waiting):
            if not self._batch:
                self._gather(waiting)
            if waiting and not self._write(waiting) and not self._hand_over(waiting):
                if self._closing.is_set():
                    break
                (self._closing if self._retired.is_set() else self._retired).wait(_AGAIN)
            self._since = waiting[0][0] if waiting else math.inf
        with self._turn:
            self._ended = True
        self.file.close()

    def _done(self, waiting: _Waiting) -> bool:
        """Nothing is left, and from now on nothing comes."""
        with self._turn:
            self._ended = self._retired.is_set() and not waiting and self._queue.empty()
            return self._ended

    def _gather(self, waiting: _Waiting) -> None:
        """Take what is queued, at least one; none where somebody only wants us to look."""
        while len(waiting) < _BATCH and (not waiting or not self._queue.empty()):
            each = self._queue.get()
            if each is None:
                return
            waiting.append(each)
            self._since = waiting[0][0]

    def _write(self, waiting: _Waiting) -> bool:
        """One batch; says whether it is written. What is, leaves the queue.

        One that failed is tried again as it was: the file may have the first of it, and knows these by their place.
        """
        try:
            if not self._batch:
                self._batch_lost = self.lost + self._owed
                self._batch = [fields_of(event) for _, event in waiting]
                unsaid = self._batch_lost - self._lost_told
                if unsaid:
                    self._batch.append(own_fields(time.time(), "lost", f"{unsaid} records", what="records"))
            self.last = self.file.append(self._batch)
        except OSError as exc:
            return self._failed(exc.strerror or str(exc) or type(exc).__name__)
        except Exception as exc:  # noqa: BLE001 - the barrier: a thread that has ended would never try again
            return self._failed(f"a fault of the proxy's own: {type(exc).__name__}")
        self._batch, self._lost_told = [], self._batch_lost
        self.records += len(waiting)
        waiting.clear()
        self._say("")
        return True

    def _hand_over(self, waiting: _Waiting) -> bool:
        """Where we have retired, give the heir what cannot be written here. What is in the file by half comes twice."""
        heir = self.heir
        if heir is None or not self._retired.is_set():
            return False
        unsaid = self.lost + self._owed - self._lost_told
        if not heir.owe(unsaid):
            return False
        self._lost_told += unsaid
        self._batch = []
        while not self._queue.empty():
            each = self._queue.get()
            if each is not None:
                waiting.append(each)
        while waiting and heir.inherit(*waiting[0]):
            waiting.popleft()
            with self._turn:
                self._taken -= 1
        return not waiting

    def _failed(self, why: str) -> bool:
        self.failures += 1
        self._say(why)
        return False

    def _say(self, fault: str) -> None:
        changed = bool(fault) != bool(self.fault)
        self.fault = fault
        if changed:
            self._told()
