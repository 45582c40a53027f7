"""What a worker shows, as bytes and back, exactly: long lists as `guardian.packing` has snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import attrs
import msgspec

from balancer.snapshot import ProxySnapshot
from guardian.learning import ClientSeen, LoginSeen
from guardian.packing import PIECE, encode, packed_snapshot, pieces, unpacked_snapshot

from .learned import Learned

T = TypeVar("T")

_LONG_PIECE: Final = 100  # clients or sessions, of about 1 µs each
SMALL: Final = 40  # devices and commands: below, a thread costs more than it spares
BIG: Final = 65_536  # bytes that take a millisecond to read


@attrs.frozen(kw_only=True)
class Shown:
    """What a worker shows of itself."""

    snapshot: ProxySnapshot
    cpu: float  # seconds, user and system
    memory: int  # bytes resident
    held_up: float = 0.0  # seconds that its loop made the snapshot


class _Shown(msgspec.Struct, array_like=True):
    snapshot: bytes
    cpu: float
    memory: int
    held_up: float


_read_shown = msgspec.msgpack.Decoder(_Shown).decode
_read_learned = msgspec.msgpack.Decoder(list[tuple[Learned, list[msgspec.Raw], list[msgspec.Raw]]]).decode
_read_clients = msgspec.msgpack.Decoder(list[ClientSeen]).decode
_read_logins = msgspec.msgpack.Decoder(list[LoginSeen]).decode
_read_pieces = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def size(snapshot: ProxySnapshot) -> int:
    """Devices and commands."""
    return sum(len(group.devices) + len(group.commands) for group in snapshot.groups)


def packed(shown: Shown, *, unhurried: bool = False) -> bytes:
    """``unhurried``: as `packed_snapshot` has it."""
    return encode(_Shown(packed_snapshot(shown.snapshot, unhurried=unhurried), shown.cpu, shown.memory, shown.held_up))


def unpacked(data: bytes) -> Shown:
    """Raises msgspec.DecodeError for what `packed` has not made."""
    read = _read_shown(data)
    return Shown(snapshot=unpacked_snapshot(read.snapshot), cpu=read.cpu, memory=read.memory, held_up=read.held_up)


def packed_list(entries: Sequence[object]) -> bytes:
    """Of a long list; for a thread."""
    return encode(pieces(entries, _LONG_PIECE, unhurried=len(entries) > _LONG_PIECE))


def unpacked_list(data: bytes, kind: type[T]) -> list[T]:
    """Raises msgspec.DecodeError where they are not of that kind."""
    read = msgspec.msgpack.Decoder(list[kind]).decode  # type: ignore[valid-type]
    return [entry for piece in _read_pieces(data) for entry in read(piece)]


def packed_learned(parts: Sequence[Learned]) -> bytes:
    """For a thread."""
    return encode(
        [
            (
                attrs.evolve(part, clients=[], logins=[]),
                pieces(part.clients, 1, unhurried=True),
                pieces(part.logins, PIECE, unhurried=True),
            )
            for part in parts
        ]
    )


def unpacked_learned(data: bytes) -> list[Learned]:
    """Raises msgspec.DecodeError for what `packed_learned` has not made."""
    return [
        attrs.evolve(
            head,
            clients=[client for piece in clients for client in _read_clients(piece)],
            logins=[login for piece in logins for login in _read_logins(piece)],
        )
        for head, clients, logins in _read_learned(data)
    ]
