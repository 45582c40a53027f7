"""A snapshot as bytes for another process of ours, and back, exactly.

One of 500 devices is a million bytes: encoding that takes milliseconds, in which nobody else has the interpreter. So
what is long is encoded in pieces, in a thread that rests between them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import attrs
import msgspec

from balancer.snapshot import CommandSnapshot, DeviceSnapshot, GroupSnapshot, ProxySnapshot

PIECE: Final = 8  # devices or commands, of about 20 µs each
_REST: Final = 2.0  # times as long as a piece took


class _Group(msgspec.Struct, array_like=True):
    head: GroupSnapshot  # without its devices and commands
    devices: list[msgspec.Raw]  # each a list of some
    commands: list[msgspec.Raw]


class _Snapshot(msgspec.Struct, array_like=True):
    head: ProxySnapshot  # without its groups
    groups: list[_Group]


encode = msgspec.msgpack.Encoder().encode
_read_snapshot = msgspec.msgpack.Decoder(_Snapshot).decode
_read_devices = msgspec.msgpack.Decoder(tuple[DeviceSnapshot, ...]).decode
_read_commands = msgspec.msgpack.Decoder(tuple[CommandSnapshot, ...]).decode


def packed_snapshot(snapshot: ProxySnapshot, *, unhurried: bool = False) -> bytes:
    """``unhurried``: rest between pieces. Then it belongs into a thread."""
    groups = [
        _Group(
            attrs.evolve(group, devices=(), commands=()),
            pieces(group.devices, PIECE, unhurried=unhurried),
            pieces(group.commands, PIECE, unhurried=unhurried),
        )
        for group in snapshot.groups
    ]
    return encode(_Snapshot(attrs.evolve(snapshot, groups=()), groups))


def unpacked_snapshot(data: bytes) -> ProxySnapshot:
    """Raises msgspec.DecodeError for what `packed_snapshot` has not made."""
    read = _read_snapshot(data)
    groups = tuple(
        attrs.evolve(
            group.head,
            devices=tuple(device for piece in group.devices for device in _read_devices(piece)),
            commands=tuple(command for piece in group.commands for command in _read_commands(piece)),
        )
        for group in read.groups
    )
    return attrs.evolve(read.head, groups=groups)


def pieces(entries: Sequence[object], most: int, *, unhurried: bool) -> list[msgspec.Raw]:
    """Lists of at most so many, each encoded by itself."""
    found = []
    for start in range(0, len(entries), most):
        began = time.perf_counter()
        found.append(msgspec.Raw(encode(entries[start : start + most])))
        if unhurried:
            time.sleep(_REST * (time.perf_counter() - began))
    return found
