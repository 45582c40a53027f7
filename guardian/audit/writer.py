"""Records on their way to the disk: a queue, and a thread that writes them in batches."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from guardian.events import Event

from .chain import START, Place, fields_of, own_fields
from .file import AuditFile

CAPACITY: Final = 100_000  # records: about 60 MB of memory while the disk is away
_BATCH: Final = 1_000
_AGAIN: Final = 0.5  # seconds between tries while the disk refuses


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
        self._queue: queue.SimpleQueue[tuple[float, Event] | None] = queue.SimpleQueue()
        self._taken = 0
        self._since = math.inf  # when the oldest record that is being written was put, monotonic seconds
        self._closing = threading.Event()
        self._lost_told = 0
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
        if self._taken - self.records >= self._capacity:
            self.lost += 1
            return
        self._taken += 1
        self._queue.put((time.monotonic(), event))

    def retire(self) -> None:
        """Nothing more comes: the thread ends when all is written, or the disk refuses."""
        self._closing.set()
        self._queue.put(None)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what waits, for at most ``timeout`` seconds; False where something is left."""
        self.retire()
        self._thread.join(timeout)
        return not self._thread.is_alive() and not self.unwritten

    # --- in the thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        waiting: deque[tuple[float, Event]] = deque()
        while True:
            ended = self._gather(waiting)
            if waiting and not self._write(waiting):
                ended = self._closing.wait(_AGAIN)
            self._since = waiting[0][0] if waiting else math.inf
            if ended:
                self.file.close()
                return

    def _gather(self, waiting: deque[tuple[float, Event]]) -> bool:
        """Take what is queued, at least one; True where nothing more comes."""
        while len(waiting) < _BATCH and (not waiting or not self._queue.empty()):
            each = self._queue.get()
            if each is None:
                return True
            waiting.append(each)
            self._since = waiting[0][0]
        return False

    def _write(self, waiting: deque[tuple[float, Event]]) -> bool:
        """One batch; says whether it is written. What is, leaves the queue."""
        batch = [fields_of(event) for _, event in waiting]
        lost = self.lost
        if lost != self._lost_told:
            batch.append(own_fields(time.time(), "lost", f"{lost - self._lost_told} records", what="records"))
        try:
            self.last = self.file.append(batch)
        except OSError as exc:
            self.failures += 1
            self._say(exc.strerror or str(exc) or type(exc).__name__)
            return False
        self._lost_told = lost
        self.records += len(waiting)
        waiting.clear()
        self._say("")
        return True

    def _say(self, fault: str) -> None:
        changed = bool(fault) != bool(self.fault)
        self.fault = fault
        if changed:
            self._told()
