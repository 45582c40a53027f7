"""What one process hands to the next: listening sockets, the order of writes, and a line to talk on.

The descriptors are inherited, one variable of the environment says what they are. On the line, each message is one line
of JSON; who reads end of file knows that the other process has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from .journal_file import Owners
from .sockets import Offered, OfferedSockets, adopt

VARIABLE: Final = "GUARDIAN_HANDED_OVER"
_OF_THE_OLD_ONE: Final = (VARIABLE, "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class Line:
    """One end of what the two talk on."""

    def __init__(self, sock: socket.socket) -> None:
        """``sock``: non-blocking."""
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._heard = b""
        self._speaking = trio.Lock()

    async def tell(self, **message: Any) -> None:
        """To whoever is there; the other end may be gone."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with self._speaking:
                await self._stream.send_all(json.dumps(message).encode() + b"\n")

    async def hear(self) -> dict[str, Any] | None:
        """What the other says next; None when it has ended."""
        while b"\n" not in self._heard:
            try:
                data = await self._stream.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
            if not data:
                return None
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        self._stream.socket.close()


def line_pair() -> tuple[Line, socket.socket]:
    """Ours, and the other's end to hand down."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return Line(ours), theirs


@attrs.frozen(kw_only=True)
class Bequest:
    """What is handed down, as descriptors of the process that hands it down."""

    sockets: Iterable[tuple[str, socket.socket]]  # by name; a name may come more than once
    owners: Owners  # of the write journals
    line: socket.socket

    def environment(self, ours: Mapping[str, str]) -> dict[str, str]:
        """That of the new process."""
        said = {
            "sockets": [[name, sock.fileno()] for name, sock in self.sockets],
            "files": {str(path): fd for path, fd in self.owners.files.items()},
            "memory": dict(self.owners.memory),
            "line": self.line.fileno(),
        }
        kept = {name: value for name, value in ours.items() if name not in _OF_THE_OLD_ONE}
        return {**kept, VARIABLE: json.dumps(said)}

    @property
    def descriptors(self) -> list[int]:
        """What must stay open in the new process."""
        owners = self.owners
        sockets = [sock.fileno() for _, sock in self.sockets]
        return [*sockets, *owners.files.values(), *owners.memory.values(), self.line.fileno()]


@attrs.frozen(kw_only=True)
class Inheritance:
    """The same, in the process that got it."""

    sockets: OfferedSockets
    owners: Owners
    line: socket.socket  # for `Line`


def inherited(environment: MutableMapping[str, str]) -> Inheritance | None:
    """What another process has handed to this one; None where this one begins by itself. Raises OSError."""
    said = environment.pop(VARIABLE, None)
    if said is None:
        return None
    found = json.loads(said)
    line = socket.socket(fileno=found["line"])
    os.set_inheritable(line.fileno(), False)
    line.setblocking(False)
    return Inheritance(
        sockets=OfferedSockets(Offered(adopt(fd), name, moves=False) for name, fd in found["sockets"]),
        owners=Owners(
            files={Path(path): fd for path, fd in found["files"].items()},
            memory={str(group): fd for group, fd in found["memory"].items()},
        ),
        line=line,
    )
