"""Keys under another key. No body of these is public: all tags are invented.

``AK`` is the AES key that wraps (AES key wrap with padding, RFC 5649), ``BG`` the key under the major key, ``BK`` the
wrapped key in hex.
"""

from __future__ import annotations

import struct
from typing import Final

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from loadtest.simhsm.call import Call
from loadtest.simhsm.key import PRIVATE, Key, KeyKind, Usage
from loadtest.simhsm.refusal import invalid
from loadtest.simhsm.registry import Fields, function

from .key_operations import symmetric_kind

_HEADER: Final = struct.Struct(">BBH")  # kind, usage, modifier
_AES: Final = frozenset({KeyKind.AES})


@function("GPKW")
def gpkw(call: Call) -> Fields:
    """Wrap the bare material of ``BG`` under ``AK`` -> ``BK``, ``AE``."""
    key = call.key("BG")
    wrapped = aes_key_wrap_with_padding(call.key("AK", Usage.WRAP, _AES).material, key.material)
    return {"BK": wrapped.hex().upper(), "AE": key.check_value()}


@function("GPWK", "TWKA")
def gpwk(call: Call) -> Fields:
    """As GPKW, with the kind, usage and modifier of the key inside."""
    key = call.key("BG")
    return {"BK": wrap_whole(call, key), "AE": key.check_value()}


@function("GPKU")
def gpku(call: Call) -> Fields:
    """Take in bare material: ``AK``, ``BK``, ``CT`` as GPGS -> ``BG``, ``AE``; with ``BD`` into that slot too."""
    kind, length = symmetric_kind(call)
    material = _unwrap(call)
    if kind is not KeyKind.SECRET and len(material) != length:
        raise invalid("CT", "WRONG KEY LENGTH")
    return _taken_in(call, Key(kind, material, call.usage(), call.number("FS", 0)))


@function("GPUK", "TWKS", "TWKM")
def gpuk(call: Call) -> Fields:
    """Take in what GPWK made, with its kind, usage and modifier: ``AK``, ``BK`` -> ``BG``, ``AE``."""
    plain = _unwrap(call)
    try:
        kind, usage, modifier = _HEADER.unpack_from(plain)
        key = Key(KeyKind(kind), plain[_HEADER.size :], Usage(usage), modifier)
        if key.kind in PRIVATE:
            key.private()
        elif key.kind is not KeyKind.SECRET:
            key.check_value()
    except (ValueError, struct.error):
        raise invalid("BK") from None
    return _taken_in(call, key)


def wrap_whole(call: Call, key: Key) -> str:
    """A key with its header under ``AK``, in hex."""
    header = _HEADER.pack(key.kind, key.usage, key.modifier)
    return aes_key_wrap_with_padding(call.key("AK", Usage.WRAP, _AES).material, header + key.material).hex().upper()


def _unwrap(call: Call) -> bytes:
    try:
        return aes_key_unwrap_with_padding(call.key("AK", Usage.UNWRAP, _AES).material, call.octets("BK"))
    except (InvalidUnwrap, ValueError):
        raise invalid("BK", "UNWRAPPING FAILED") from None


def _taken_in(call: Call, key: Key) -> Fields:
    return {"BG": call.hsm.major_key.wrap(key), "AE": key.check_value(), **call.store(key)}
