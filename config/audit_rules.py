"""Whether the settings of the audit fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from . import tls_rules
from .problems import Report
from .structure import Draft

_OF_THE_FILE: Final = ("on_failure", "late", "sync", "max_size", "key_file")
_SMALLEST: Final = 4096  # bytes: a file must hold more than a record or two


def check(audit: Draft, groups: list[Draft], report: Report) -> None:
    if audit.known("file") and audit.values["file"] is None:
        for field in _OF_THE_FILE:
            if audit.given(field):
                report.error(audit.at(field), "is of no use without file: name one, or remove it")
    if audit.known("max_size") and audit.values["max_size"] < _SMALLEST:
        report.error(audit.at("max_size"), f"is {audit.values['max_size']} bytes, must be at least {_SMALLEST}")
    if audit.known("file", "key_file") and audit.values["file"] is not None:
        if audit.values["file"] == audit.values["key_file"]:
            report.error(audit.at("key_file"), "is the audit file itself, must be a file of its own")
        _no_journal(audit, groups, report)
    syslog = audit.values.get("syslog")
    if syslog is not None:
        if syslog.known("address") and syslog.values["address"].port == 0:
            report.error(syslog.at("address"), "has port 0, must have the receiver's port, such as 6514")
        if syslog.known("tls"):
            tls_rules.check_device(syslog.values["tls"], report)


def _no_journal(audit: Draft, groups: list[Draft], report: Report) -> None:
    path: Path = audit.values["file"]
    for group in groups:
        writes = group.values.get("writes")
        if writes is not None and writes.values.get("journal") == path:
            line = writes.at("journal").line
            report.error(audit.at("file"), f"is the write journal that line {line} names, must be a file of its own")
