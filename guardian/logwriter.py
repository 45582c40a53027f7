"""Lines on their way to a file descriptor that may take them slowly or not at all."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import threading
from collections.abc import Callable
from typing import Final

CAPACITY: Final = 10_000  # lines
_BATCH: Final = 256  # lines in one system call


class LogWriter:
    """A bounded queue of lines, and a thread that writes them.

    `put` never waits, from any thread: when the queue is full, the line is dropped and counted, and as soon as lines go
    out again `report` is asked for a line that says how many are missing. The thread writes to the descriptor itself
    and not to `sys.stderr`: a daemon thread that holds the lock of a stream aborts the interpreter at its end.
    """

    def __init__(self, fd: int, report: Callable[[int], bytes], capacity: int = CAPACITY) -> None:
        """`fd` stays the caller's to close, after `close`. `report` runs in the writer's thread."""
        self._fd = fd
        self._report = report
        self._queue: queue.Queue[bytes | None] = queue.Queue(capacity)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._dropped = 0
        self._reported = 0
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were lost so far: no room, or the descriptor refused them."""
        return self._dropped

    def put(self, line: bytes) -> None:
        if self._closing.is_set():
            self._count(1)
            return
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._count(1)

    def close(self, timeout: float = 2.0) -> bool:
        """Write what is queued, for at most `timeout` seconds. False if something could not be written by then."""
        self._closing.set()
        with contextlib.suppress(queue.Full):  # then the thread has work, and sees the event after it
            self._queue.put_nowait(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _count(self, lines: int) -> None:
        with self._lock:
            self._dropped += lines

    def _run(self) -> None:
        while True:
            lines = [self._queue.get()]
            while len(lines) < _BATCH and not self._queue.empty():
                lines.append(self._queue.get_nowait())
            wanted = [line for line in lines if line is not None]
            missing = self._dropped - self._reported
            if missing:
                self._reported += missing
                wanted.append(self._report(missing))
            try:
                self._write(b"".join(wanted))
            except OSError:  # nobody can be told: the reader is gone or the disk is full
                self._count(len(wanted))
            if self._closing.is_set() and self._queue.empty():
                return

    def _write(self, rest: bytes) -> None:
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # somebody who shares the descriptor made it non-blocking
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
