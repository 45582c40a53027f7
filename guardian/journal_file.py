"""The file of a write journal, and the lock beside it: opening, reading, and what can be wrong with them."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs
import structlog

from balancer import intents
from balancer.intents import History, Intent, JournalDamaged

from .turns import Turns, own

COMPACT_AT: Final = 1_048_576  # bytes: about 2,500 writes to three devices
APPEND: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
LONGEST: Final = 64 * COMPACT_AT  # no journal of ours: it must not be read into memory
_BEGINNING: Final = b'{"journal":'


class JournalError(OSError):
    """The journal cannot be used; the text names the file and says why."""


@attrs.frozen
class Owners:
    """Descriptors that own journals: of files by path, in memory by group."""

    files: dict[Path, int] = attrs.field(factory=dict)
    memory: dict[str, int] = attrs.field(factory=dict)


class Lock:
    """Whose the journal is: a process and those that it hands it to. ``turns``: among these.

    It stands beside the journal, which is replaced now and then, or is the journal itself where that is in memory.
    """

    def __init__(self, owner: int, turns: Turns) -> None:
        """``owner``: a descriptor to hand down; as long as any process has it, nobody else may open the journal."""
        self.owner = owner
        self.turns = turns

    def close(self) -> None:
        self.turns.close()
        os.close(self.owner)


class JournalFile:
    """An open one, appended to or replaced; ``path`` is None for one in memory."""

    def __init__(self, path: Path | None, fd: int, size: int) -> None:
        """``size``: bytes of whole lines that are known."""
        self.path = path
        self.fd = fd
        self.size = size
        self.dirty = False  # it lacks some of what it should say
        self._log = structlog.get_logger(journal=str(path))

    def tail(self) -> bytes:
        """Whole lines that others have appended. Raises OSError."""
        size = os.fstat(self.fd).st_size
        data = os.pread(self.fd, max(0, size - self.size), self.size)
        return data[: data.rfind(b"\n") + 1]

    def cut(self) -> None:
        """Take off what is no whole line. Raises OSError."""
        if os.fstat(self.fd).st_size > self.size:
            os.ftruncate(self.fd, self.size)

    def exchange(self, fd: int) -> None:
        os.close(self.fd)
        self.fd = fd

    def write(self, lines: Iterable[bytes], anew: bool, sync: bool) -> bool:
        """Says whether it worked; then, with ``sync``, it will be there after a power cut. Never raises OSError.

        ``anew``: they are all that it is to say.
        """
        data = b"".join(lines)
        try:
            if anew and self.path is not None:
                self._replace(self.path, data)
            else:
                if self.path is not None and not os.fstat(self.fd).st_nlink:
                    raise FileNotFoundError(errno.ENOENT, "somebody removed the file")
                if self.dirty:
                    self.cut()
                write_all(self.fd, data)
                if sync and self.path is not None:
                    os.fdatasync(self.fd)
                self.size += len(data)
        except OSError as exc:
            self.dirty = True
            with suppress(OSError):  # no other process must find half a line
                self.cut()
            self._log.error("write journal failed", reason=exc.strerror or type(exc).__name__)
            return False
        if self.dirty:
            self._log.warning("write journal works again")
        self.dirty = False
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
        self.exchange(fd)
        self.size = len(data)


def read(path: Path | None, fd: int, *, ours: bool) -> tuple[History, int]:
    """What it says, and the bytes of its whole lines. ``ours``: nobody else writes now.

    Raises OSError, `JournalDamaged`.
    """
    content = os.pread(fd, LONGEST + 1, 0)
    if len(content) > LONGEST:
        raise JournalError(f"{path}: is longer than any write journal gets")
    history, whole = understood(content)
    if path is not None:
        os.fchmod(fd, 0o600)
    if history is None:
        if not ours:
            raise JournalError(f"{path}: is just being made by another process")
        history = History(secrets.token_bytes(32))
        whole = intents.header_line(history.salt)
        os.ftruncate(fd, 0)
        write_all(fd, whole)
    elif ours:
        if len(whole) < len(content):
            os.ftruncate(fd, len(whole))
        history.recover()
    return history, len(whole)


def examine(path: Path) -> str | None:
    """What is wrong with a journal that may be in use, for `guardian check`; None where nothing is."""
    try:
        if not path.exists():
            return None
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            return "is longer than any write journal gets"
        understood(content)
    except JournalDamaged as exc:
        return str(exc)
    except (OSError, ValueError) as exc:
        return f"cannot be read ({why(exc) if isinstance(exc, OSError) else 'no file can have that name'})"
    return None


def understood(content: bytes, begun: list[Intent] | None = None) -> tuple[History | None, bytes]:
    """What a file says, None where it says nothing yet, and its whole lines. Raises `JournalDamaged`.

    ``begun``: gets the writes that it tells of, those that have ended too.
    """
    whole = content[: content.rfind(b"\n") + 1]
    if not whole and content[: len(_BEGINNING)] != _BEGINNING[: len(content)]:
        raise JournalDamaged("it is no write journal")  # but somebody's file, which must not be cut off
    return intents.read(whole.split(b"\n")[:-1], begun), whole


def open_file(path: Path) -> int:
    """Raises OSError."""
    fd = os.open(path, APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "is no regular file")  # noqa: TRY301 - closed below
        sync_folder(path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def locked(path: Path, owner: int | None) -> Lock:
    """Raises OSError, EWOULDBLOCK where the journal is another process's, which has not handed it to us."""
    opened: list[int] = []
    try:
        if owner is None:
            owner = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            opened.append(owner)
        else:
            os.set_inheritable(owner, False)
        own(owner)
        # Not by name: somebody may have removed the file, and who opened another would not be held up by this one.
        opened.append(os.open(f"/proc/self/fd/{owner}", os.O_RDWR | os.O_CLOEXEC))
        return Lock(owner, Turns(opened[-1]))
    except BaseException:
        for fd in opened:
            os.close(fd)
        raise


def replaced(fd: int, path: Path) -> bool:
    """Whether another file is there now; one that was removed is still what it was."""
    try:
        return not os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def why(exc: OSError) -> str:
    if exc.errno == errno.EWOULDBLOCK:
        return "is in use by another process"
    return exc.strerror or type(exc).__name__


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_folder(path: Path) -> None:
    """So that the name of a new file is there after a power cut, too."""
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
