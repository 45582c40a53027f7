"""Where clients connect."""

from __future__ import annotations

import enum

import attrs

from .tls import ListenerTls
from .values import Bind, Bytes, Count, Name, Seconds


class Framing(enum.Enum):
    """How messages are told apart on a connection."""

    EXCRYPT = "excrypt"  # from [ to ], nothing else
    LENGTH2 = "length2"  # a two-byte big-endian length before each message
    LENGTH4 = "length4"  # a four-byte big-endian length before each message


@attrs.frozen(kw_only=True)
class Limits:
    connections: Count = 4096
    """at once"""
    message: Bytes = 262_144
    """the longest request"""
    pipeline: Count = 16
    """answers a client may be owed before it is read no further"""
    idle: Seconds = 600.0
    """after which a silent connection closes"""
    handshake: Seconds = 10.0
    """from accept to the end of the TLS handshake"""
    handshakes: Count = 256
    """connections at once that have not finished their handshake; the oldest makes room"""
    message_time: Seconds = 30.0
    """from the first byte of a request to its last, and for a client to take its answers"""


@attrs.frozen(kw_only=True)
class Listener:
    name: Name
    """its name in logs and metrics"""
    bind: Bind
    """the address; port 0 takes a free one"""
    group: Name
    """the name of the group that serves it"""
    framing: Framing = Framing.EXCRYPT
    """how messages are told apart: from `[` to `]`, or after a big-endian length of 2 or 4 bytes"""
    tls: ListenerTls = ListenerTls()
    """TLS towards clients"""
    limits: Limits = Limits()
    """bounds of each connection, and of all"""
