"""Whose connection over loopback it is: the kernel's table of sockets says it, as a unix socket would by itself."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any, Final

_TABLES: Final = {socket.AF_INET: Path("/proc/self/net/tcp"), socket.AF_INET6: Path("/proc/self/net/tcp6")}
_USER: Final = 7  # the column, from 0
_INODE: Final = 9
_LOOKS: Final = 3  # the kernel writes the table in pieces: while others come and go it may skip a line


class UserGoneError(LookupError):
    """The system says whose sockets are, and this one is nobody's any more: it was closed."""


def user_at(family: socket.AddressFamily, theirs: tuple[Any, ...], ours: tuple[Any, ...]) -> int | None:
    """The user who has the socket ``theirs`` (address, port, ...) open towards ``ours``, both on this machine.

    None where the system does not say it of any. Raises `UserGoneError` where this one is closed, and OSError where
    the table cannot be read. Reads a file that is long where there are many connections: call it in a thread.
    """
    ends = {family: f" {_written(family, theirs)} {_written(family, ours)} "}
    if family is socket.AF_INET:  # by a socket that could do both
        mapped = (f"::ffff:{theirs[0]}", theirs[1]), (f"::ffff:{ours[0]}", ours[1])
        ends[socket.AF_INET6] = " " + " ".join(_written(socket.AF_INET6, end) for end in mapped) + " "
    if family not in _TABLES or not _TABLES[family].exists():
        return None
    for _ in range(_LOOKS):
        for each, wanted in ends.items():
            user = _user_in(_TABLES[each], wanted)
            if user is not None:
                return user
    raise UserGoneError(f"nobody has {theirs[0]} port {theirs[1]} open")


def _user_in(table: Path, wanted: str) -> int | None:
    """Of a socket that was closed (its process gone, or TIME_WAIT) the kernel says inode 0 and user 0: not root."""
    try:
        lines = table.read_text("ascii").splitlines()
    except FileNotFoundError:  # no IPv6
        return None
    for line in lines:
        if wanted in line:
            columns = line.split()
            if columns[_INODE] != "0":
                return int(columns[_USER])
    return None


def _written(family: socket.AddressFamily, end: tuple[Any, ...]) -> str:
    """An end of a connection as the table has it: words of the address in the machine's order, in hex, and the port."""
    packed = socket.inet_pton(family, end[0])
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{end[1]:04X}"
