"""Whose connection over loopback it is: the kernel's table of sockets says it, as a unix socket would by itself."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any, Final

_TABLES: Final = {socket.AF_INET: Path("/proc/net/tcp"), socket.AF_INET6: Path("/proc/net/tcp6")}
_USER: Final = 7  # the column, from 0


def user_at(family: socket.AddressFamily, theirs: tuple[Any, ...], ours: tuple[Any, ...]) -> int | None:
    """The user who opened the socket ``theirs`` (address, port, ...) towards ``ours``, both on this machine.

    None where the system does not say, or the socket is closed. Reads a file that is long where there are many
    connections: call it in a thread.
    """
    try:
        wanted = f" {_written(family, theirs)} {_written(family, ours)} "
        for line in _TABLES[family].read_text("ascii").splitlines():
            if wanted in line:
                return int(line.split()[_USER])
    except (OSError, KeyError, ValueError, IndexError):
        pass
    return None


def _written(family: socket.AddressFamily, end: tuple[Any, ...]) -> str:
    """An end of a connection as the table has it: words of the address in the machine's order, in hex, and the port."""
    packed = socket.inet_pton(family, end[0])
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{end[1]:04X}"
