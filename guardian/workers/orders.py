"""What all workers are to run on: one reading of the file, sockets to accept from, and the order of writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import attrs

from guardian.journal_file import Owners
from guardian.sockets import Offered, adopt

from .addresses import Bound

_AT_ONCE: Final = 200  # descriptors in one message


@attrs.frozen(kw_only=True, eq=False)
class Orders:
    number: int  # counted by the supervisor
    text: str  # of the file: each worker reads the same, whatever the file says by now
    digest: str  # of the text, and of the catalogue that it names
    sockets: Bound  # of every listener
    owners: Owners  # of the write journals of every group
    fresh_sockets: Bound  # of these, what the orders before did not have
    fresh_owners: Owners


class Sort(StrEnum):
    SOCKET = "socket"  # by the listener's name
    FILE = "file"  # who owns a journal, by its path
    MEMORY = "memory"  # the same of one that no disk has, by the group


@attrs.frozen(kw_only=True)
class Parcel:
    """Descriptors for one message, and what each is."""

    names: list[tuple[str, str]]
    descriptors: list[int]


def parcels(sockets: Bound, owners: Owners) -> Iterator[Parcel]:
    """As many as it takes."""
    things = [
        *(((Sort.SOCKET.value, name), sock.fileno()) for name, sock in sockets),
        *(((Sort.FILE.value, str(path)), owner) for path, owner in owners.files.items()),
        *(((Sort.MEMORY.value, group), owner) for group, owner in owners.memory.items()),
    ]
    for start in range(0, len(things), _AT_ONCE):
        some = things[start : start + _AT_ONCE]
        yield Parcel(names=[name for name, _ in some], descriptors=[descriptor for _, descriptor in some])


def unpacked(names: Sequence[Sequence[str]], descriptors: Sequence[int]) -> tuple[list[Offered], Owners]:
    """The other side of it. Raises OSError for a socket that does not listen."""
    sockets: list[Offered] = []
    owners = Owners()
    for (sort, name), descriptor in zip(names, descriptors, strict=True):
        if sort == Sort.SOCKET:
            sockets.append(Offered(adopt(descriptor), name, moves=False))
        elif sort == Sort.FILE:
            owners.files[Path(name)] = descriptor
        else:
            owners.memory[name] = descriptor
    return sockets, owners
