"""What a worker shows, as bytes and back, exactly.

A snapshot of 500 devices is a million bytes, and a list of clients may be as long: encoding that takes milliseconds,
in which nobody else has the interpreter. So what is long is encoded in pieces, in a thread that rests between them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import attrs
import msgspec

from balancer.snapshot import CommandSnapshot, DeviceSnapshot, GroupSnapshot, ProxySnapshot
from guardian.learning import ClientSeen, LoginSeen

from .learned import Learned

T = TypeVar("T")

_PIECE: Final = 8  # devices or commands, of about 20 µs each
_LONG_PIECE: Final = 100  # clients or sessions, of about 1 µs each
SMALL: Final = 40  # devices and commands: below, a thread costs more than it spares
BIG: Final = 65_536  # bytes that take a millisecond to read
_REST: Final = 2.0  # times as long as a piece took

_encode = msgspec.msgpack.Encoder().encode


@attrs.frozen(kw_only=True)
class Shown:
    """What a worker shows of itself."""

    snapshot: ProxySnapshot
    cpu: float  # seconds, user and system
    memory: int  # bytes resident
    held_up: float = 0.0  # seconds that its loop made the snapshot


class _Group(msgspec.Struct, array_like=True):
    head: GroupSnapshot  # without its devices and commands
    devices: list[msgspec.Raw]  # each a list of some
    commands: list[msgspec.Raw]


class _Shown(msgspec.Struct, array_like=True):
    head: Shown  # without its groups
    groups: list[_Group]


_read_shown = msgspec.msgpack.Decoder(_Shown).decode
_read_devices = msgspec.msgpack.Decoder(tuple[DeviceSnapshot, ...]).decode
_read_commands = msgspec.msgpack.Decoder(tuple[CommandSnapshot, ...]).decode
_read_learned = msgspec.msgpack.Decoder(list[tuple[Learned, list[msgspec.Raw], list[msgspec.Raw]]]).decode
_read_clients = msgspec.msgpack.Decoder(list[ClientSeen]).decode
_read_logins = msgspec.msgpack.Decoder(list[LoginSeen]).decode
_read_pieces = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def size(snapshot: ProxySnapshot) -> int:
    """Devices and commands."""
    return sum(len(group.devices) + len(group.commands) for group in snapshot.groups)


def packed(shown: Shown, *, unhurried: bool = False) -> bytes:
    """``unhurried``: rest between pieces. Then it belongs into a thread."""
    snapshot = shown.snapshot
    groups = [
        _Group(
            attrs.evolve(group, devices=(), commands=()),
            _pieces(group.devices, _PIECE, unhurried=unhurried),
            _pieces(group.commands, _PIECE, unhurried=unhurried),
        )
        for group in snapshot.groups
    ]
    return _encode(_Shown(attrs.evolve(shown, snapshot=attrs.evolve(snapshot, groups=())), groups))


def unpacked(data: bytes) -> Shown:
    """Raises msgspec.DecodeError for what `packed` has not made."""
    read = _read_shown(data)
    groups = tuple(
        attrs.evolve(
            group.head,
            devices=tuple(device for piece in group.devices for device in _read_devices(piece)),
            commands=tuple(command for piece in group.commands for command in _read_commands(piece)),
        )
        for group in read.groups
    )
    return attrs.evolve(read.head, snapshot=attrs.evolve(read.head.snapshot, groups=groups))


def packed_list(entries: Sequence[object]) -> bytes:
    """Of a long list; for a thread."""
    return _encode(_pieces(entries, _LONG_PIECE, unhurried=len(entries) > _LONG_PIECE))


def unpacked_list(data: bytes, kind: type[T]) -> list[T]:
    """Raises msgspec.DecodeError where they are not of that kind."""
    read = msgspec.msgpack.Decoder(list[kind]).decode  # type: ignore[valid-type]
    return [entry for piece in _read_pieces(data) for entry in read(piece)]


def packed_learned(parts: Sequence[Learned]) -> bytes:
    """For a thread."""
    return _encode(
        [
            (
                attrs.evolve(part, clients=[], logins=[]),
                _pieces(part.clients, 1, unhurried=True),
                _pieces(part.logins, _PIECE, unhurried=True),
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


def _pieces(entries: Sequence[object], most: int, *, unhurried: bool) -> list[msgspec.Raw]:
    found = []
    for start in _starts(len(entries), most):
        began = time.perf_counter()
        found.append(msgspec.Raw(_encode(entries[start : start + most])))
        if unhurried:
            time.sleep(_REST * (time.perf_counter() - began))
    return found


def _starts(count: int, most: int) -> Iterable[int]:
    return range(0, count, most)
