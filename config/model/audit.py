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
    """A receiver of RFC 5424 messages over TCP, by default with TLS and a certificate."""

    address: Bind
    tls: DeviceTls = DeviceTls()
    facility: Literal[
        "auth", "authpriv", "audit", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
    ] = "authpriv"
    queue: Count = 10_000  # messages that wait for a receiver that is away; more are dropped, and counted
    connect_timeout: Seconds = 5.0


@attrs.frozen(kw_only=True)
class Audit:
    file: Path | None = None
    on_failure: OnFailure = OnFailure.REFUSE_WRITES
    late: Seconds = 5.0  # a record that is not written for so long is one that cannot be written
    sync: Sync = Sync.BATCH
    max_size: Bytes = 104_857_600  # a file of that size is renamed, and the next one begun
    key_file: Path | None = None  # a secret: then only who knows it can make records
    syslog: Syslog | None = None
