"""The audit settings made ready to be applied: every file that they name is read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from balancer.transport.tls import DeviceSide, device_side
from config import model
from config.credentials import CredentialError

from .file import AuditFile

_SHORTEST_KEY: Final = 16  # bytes


@attrs.frozen(kw_only=True, eq=False)
class AuditReady:
    settings: model.Audit
    key: bytes | None = attrs.field(repr=False)
    file: AuditFile | None = None  # open, where it was opened early, and is not the one that is written to
    side: DeviceSide | None  # TLS towards the syslog receiver; None: clear, or there is none

    def close(self) -> None:
        """Where it is not adopted."""
        if self.file is not None:
            self.file.close()


def audit_ready(settings: model.Audit) -> AuditReady:
    """Blocks while it reads; may run in a thread. Raises `CredentialError`."""
    syslog = settings.syslog
    side = None if syslog is None else device_side(syslog.tls, syslog.address.host)
    key = None if settings.key_file is None else read_key(settings.key_file)
    return AuditReady(settings=settings, key=key, side=side)


def read_key(path: Path) -> bytes:
    """The content of a key file, without the white space around it. Raises `CredentialError`."""
    try:
        key = path.read_bytes().strip()
    except OSError as exc:
        raise CredentialError(f"{path}: {exc.strerror}") from exc
    if len(key) < _SHORTEST_KEY:
        raise CredentialError(f"{path}: the key of the audit file must have {_SHORTEST_KEY} bytes or more")
    return key
