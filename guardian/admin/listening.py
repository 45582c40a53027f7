"""Where the admin port listens: an address, or a socket in the file system whose mode says who may come."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from config.model import Admin, Bind
from guardian.sockets import listen_everywhere

_BACKLOG: Final = 128
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid: unix(7)


def listen_admin(admin: Admin) -> tuple[list[socket.socket], Callable[[], None]]:
    """The sockets of ``admin.bind``, and what takes away the file that was made for them. Raises OSError."""
    if isinstance(admin.bind, Bind):
        return listen_everywhere(admin.bind), lambda: None
    path = admin.bind.path
    sockets, ours = [listen_unix(admin, path)], inode(path)
    return sockets, lambda: remove(path, ours)


def listen_unix(admin: Admin, path: Path) -> socket.socket:
    """A listening socket at the path, with ``admin.mode``. What a dead process left there is replaced.

    Raises OSError: EADDRINUSE where a process listens, or where something else than a socket is.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _alone_in(path.parent):
            _clear(path)
            made.bind(str(path))
            path.chmod(int(admin.mode, 8))  # before `listen`: until then every connect is refused
            made.listen(_BACKLOG)
    except OSError as exc:
        made.close()
        raise OSError(exc.errno, f"{path}: {exc.strerror}") from exc
    made.setblocking(False)
    return made


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two that start at once must not both find the same dead socket."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _clear(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EADDRINUSE, "is there already, and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)  # a full queue of a living process is EAGAIN
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "another process listens there")


def inode(path: Path) -> tuple[int, int] | None:
    """Which file it is; None if it is not there."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove(path: Path, ours: tuple[int, int] | None) -> None:
    """Take the socket's file away, unless it is somebody else's by now."""
    if ours is not None and inode(path) == ours:
        with contextlib.suppress(OSError):
            path.unlink()


def uid_of_peer(sock: socket.socket) -> int:
    """The user at the other end of a unix socket, as the kernel knew it when they connected. Raises OSError."""
    return int(_CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1])
