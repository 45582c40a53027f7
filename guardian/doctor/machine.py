"""What this machine says of itself: clock, descriptors, disks. It reads, and changes nothing."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .judgement import Place

_TIMEX: Final = 256  # bytes; the kernel's struct timex has 208
_STATUS: Final = 40  # where its `status` stands, behind modes, offset, freq, maxerror and esterror, each on 8 bytes
_UNSYNCHRONISED: Final = 0x0040
_ERROR: Final = 5  # what adjtimex gives while nobody keeps the clock


def synchronised() -> bool | None:
    """Whether something keeps the clock by NTP, as the kernel knows; None where it does not say."""
    buffer = ctypes.create_string_buffer(_TIMEX)  # modes 0: only read
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    status = int.from_bytes(buffer.raw[_STATUS : _STATUS + 4], "little")
    return state != _ERROR and not status & _UNSYNCHRONISED


def descriptor_limit() -> int:
    """How many files a process started from here may open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def own_names() -> frozenset[str]:
    """The names and addresses by which this machine calls itself, in small letters. Asks no DNS."""
    name = socket.gethostname().lower()
    return frozenset((name, name.partition(".")[0], "localhost"))


def place(what: str, path: Path) -> Place:
    """What is known of a file that Guardian writes, which need not be there yet. Never raises."""
    folder = path.parent
    try:
        found = path.stat()
    except (OSError, ValueError):
        found = None
    free = size = None
    try:
        disk = os.statvfs(path if found is not None else folder)
        free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    except (OSError, ValueError):
        pass
    target = path if found is not None else folder
    rights = os.W_OK if found is not None else os.W_OK | os.X_OK
    return Place(
        what=what,
        path=path,
        exists=found is not None,
        mode=found.st_mode & 0o777 if found is not None else None,
        writable=os.access(target, rights),
        free=free,
        size=size,
    )


def places(named: Iterable[tuple[str, Path]]) -> tuple[Place, ...]:
    return tuple(place(what, path) for what, path in named)
