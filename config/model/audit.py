"""What is kept of what happened, and where."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Literal

import attrs

from .tls import DeviceTls
from .values import Bind, Bytes, Count, Seconds


class OnFailure(enum.Enum):
    """What happens while records cannot be written to the file."""

    REFUSE_WRITES = "refuse_writes"  # commands that change a device, or may, are answered `busy`
    CONTINUE = "continue"  # everything goes on


class Sync(enum.Enum):
    """What is done so that a record outlives a power cut."""

    BATCH = "batch"  # records that waited together are on stable storage before the next are written
    NEVER = "never"  # the system writes them when it likes; they outlive the process only


@attrs.frozen(kw_only=True)
class Syslog:
    address: Bind
    """the receiver"""
    tls: DeviceTls = DeviceTls()
    """as `groups[].tls`: `mutual` by default; `mode: clear` for a receiver without TLS"""
    facility: Literal[
        "auth", "authpriv", "audit", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
    ] = "authpriv"
    """of each message"""
    queue: Count = 10_000
    """messages that wait for a receiver that is away; more are dropped, and counted"""
    connect_timeout: Seconds = 5.0
    """to connect, TLS included"""


@attrs.frozen(kw_only=True)
class Audit:
    file: Path | None = None
    """where records are appended; its folder must be writable, as a long file is renamed there"""
    on_failure: OnFailure = OnFailure.REFUSE_WRITES
    """while records cannot be written: `refuse_writes` answers commands that change a device, or that are in no
    catalogue, `busy`, and `/readyz` says 503; with `continue` everything goes on. What only reads or computes goes on
    in both"""
    late: Seconds = 5.0
    """a record that is not in the file for so long is one that cannot be written"""
    sync: Sync = Sync.BATCH
    """`batch`: records that waited together are on stable storage before the next are written; `never`: they outlive
    the process, but perhaps not a power cut"""
    max_size: Bytes = 104_857_600
    """a file of that size is renamed to `<file>.<time>-<number of its last record>`, and the next one begun; nothing is
    ever deleted"""
    key_file: Path | None = None
    """a secret of at least 16 bytes: records then carry an HMAC, which only who knows it can make"""
    syslog: Syslog | None = None
    """a receiver that gets a copy of each event"""
