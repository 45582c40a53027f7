"""Writing an audit file, and reading it as its auditor does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from guardian.audit.chain import Record, own_fields
from guardian.audit.file import AuditFile, opened
from guardian.audit.verification import Fault, Verification, in_order

BIG = 1 << 30


def a_file(path: Path, *, key: bytes | None = None, max_size: int = BIG) -> AuditFile:
    return AuditFile(path, key=key, max_size=max_size, sync=True)


def facts(word: str) -> Mapping[str, str]:
    return own_fields(1_790_000_000.0, word, "")


@attrs.define
class Verified:
    records: list[Record]
    faults: list[Fault]
    notes: list[Fault]
    verification: Verification


def lines_of(path: Path) -> list[bytes]:
    with opened(path) as file:
        return list(file)


def verified(*paths: Path, key: bytes | None = None, since: str | None = None) -> Verified:
    by_name = {str(path): lines_of(path) for path in paths}
    verification = Verification(() if key is None else (key,), since)
    records = []
    for name in in_order((name, lines[0] if lines else b"") for name, lines in by_name.items()):
        for number, line in enumerate(by_name[name], start=1):
            record = verification.take(name, number, line)
            if record is not None:
                records.append(record)
    verification.end()
    return Verified(records, verification.faults, verification.notes, verification)


def results(*paths: Path) -> list[str]:
    return [record.fields["result"] for record in verified(*paths).records]


def whole(*paths: Path) -> bool:
    return not verified(*paths).faults
