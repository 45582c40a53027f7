"""Turns among processes: one at a time, in the order of asking, and given back by whoever dies.

Bytes of a file are locked (fcntl(2), open file description locks): the turn, the place of who is next, shared by all
being there, and owning the file. For turns each process must have opened the file itself: an inherited descriptor
shares its locks, which is what owning is for.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from typing import Final

import trio

_TURN: Final = 0
_NEXT: Final = 1
_PRESENT: Final = 2
_OWNER: Final = 3
_TRIES: Final = 100
_LOOK_EVERY: Final = 0.002  # seconds: the pause between two turns where many want one
_FLOCK: Final = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, process


class Turns:
    """``held`` from `try_take` or `take` until `give`. Closes its descriptor in the end."""

    def __init__(self, descriptor: int) -> None:
        """Raises OSError, as where the file system has no such locks."""
        self.held = False
        self._fd = descriptor
        self._is_next = False
        for _ in range(_TRIES):
            if _lock(descriptor, _PRESENT, fcntl.F_RDLCK):
                return
            time.sleep(0.001)  # somebody asks for an instant whether it is alone
        raise OSError(errno.EWOULDBLOCK, "its lock file is held by another process")

    def try_take(self) -> bool:
        """Whether it is ours now. Where others wait they come first, and we are in line."""
        if not self._is_next:
            self._is_next = _lock(self._fd, _NEXT, fcntl.F_WRLCK)
        if self._is_next and _lock(self._fd, _TURN, fcntl.F_WRLCK):
            self.held = True
            self.leave_line()
        return self.held

    async def take(self) -> bool:
        """Wait until it is ours; False where somebody else has taken it for us. Cancelled, we are in line no more."""
        try:
            while not self.held:
                if self.try_take():
                    return True
                await trio.sleep(_LOOK_EVERY)
        finally:
            self.leave_line()
        return False

    def give(self) -> None:
        if self.held:
            self.held = False
            _lock(self._fd, _TURN, fcntl.F_UNLCK)

    def leave_line(self) -> None:
        """After a `try_take` that failed and is not to be repeated."""
        if self._is_next:
            self._is_next = False
            _lock(self._fd, _NEXT, fcntl.F_UNLCK)

    @property
    def contested(self) -> bool:
        """Whether somebody else waits for it."""
        if not _lock(self._fd, _NEXT, fcntl.F_WRLCK):
            return True
        if not self._is_next:
            _lock(self._fd, _NEXT, fcntl.F_UNLCK)
        return False

    @property
    def alone(self) -> bool:
        """Whether no other process has the file."""
        alone = _lock(self._fd, _PRESENT, fcntl.F_WRLCK)
        _lock(self._fd, _PRESENT, fcntl.F_RDLCK)
        return alone

    def close(self) -> None:
        os.close(self._fd)


def own(descriptor: int) -> None:
    """Own the file, until the last descriptor that was inherited from this one is closed.

    Not flock(2), which on NFS locks every byte, and so those of the turns. Raises OSError, EWOULDBLOCK where it is
    another's.
    """
    if not _lock(descriptor, _OWNER, fcntl.F_WRLCK):
        raise BlockingIOError(errno.EWOULDBLOCK, "is in use by another process")


def _lock(descriptor: int, byte: int, kind: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, kind, os.SEEK_SET, byte, 1, 0))
    except (BlockingIOError, PermissionError):  # EAGAIN, EACCES: somebody else has it
        return False
    return True
