"""Reads every file that a configuration names and says, at the key that names it, what is wrong with it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from . import writes_rules
from .credentials import CredentialError, load_certificates, load_credentials, load_crls
from .model import TlsMode, UnixBind
from .problems import Place, Report
from .structure import Draft

_SOON: Final = timedelta(days=30)
_DAY: Final = "%Y-%m-%d"
_RUN: Final = Path("/run")
_FIELDS: Final = ("mode", "certificate", "key", "key_password_file", "ca", "crl")


def check_files(config: Draft, report: Report, now: datetime) -> None:
    """Report what is missing, unreadable, not what it should be, out of date or open to others. ``now`` is aware."""
    seen: set[tuple[object, ...]] = set()
    for tls in _sections(config):
        # Devices that inherit all of their group's section name the same files at the same places.
        key = tuple((field, tls.values.get(field), tls.at(field)) for field in _FIELDS if field in tls.values)
        if key not in seen:
            seen.add(key)
            _check(tls, report, now)
    for group in config.sections("groups"):
        if group.known("writes"):
            several = len(group.sections("devices")) > 1
            _check_journal(group.values["writes"], report, needed=several and writes_rules.replicated(group))
    if config.known("audit"):
        _check_audit(config.values["audit"], report)
    admin = config.values.get("admin")
    if admin is not None:
        _check_admin(admin, report)


def _check_admin(admin: Draft, report: Report) -> None:
    named = [(admin, "token_file"), *((token, "file") for token in admin.sections("tokens"))]
    for section, field in named:
        path, place = section.values.get(field), section.at(field)
        if path is not None and _readable(path, place, report):
            _private(path, place, report)
            _not_empty(path, place, report)
    bind = admin.values.get("bind")
    if isinstance(bind, UnixBind):
        try:
            if not bind.path.parent.is_dir():
                missing = f"names {bind.path}, whose folder does not exist"
                if bind.path.parent.parent == _RUN:
                    report.warn(admin.at("bind"), f"{missing}; systemd makes it at the start (RuntimeDirectory=)")
                else:
                    report.error(admin.at("bind"), f"{missing}, must be in one that does")
        except PermissionError:
            report.error(admin.at("bind"), f"names {bind.path}, whose folder cannot be entered by who runs this")


def _check_journal(writes: Draft, report: Report, *, needed: bool) -> None:
    """There is one where it is needed, and it can be written; the file itself need not be there yet."""
    if not writes.known("journal", "mode"):
        return
    path, place = writes.values["journal"], writes.at("journal")
    if path is None:
        if needed:
            report.warn(
                place, "is not given: after a crash of Guardian nobody knows which writes are in doubt; name a file"
            )
        return
    _writable(path, place, report, "the journal is renewed in it")


def _writable(path: Path, place: Place, report: Report, why: str) -> None:
    """A file that can be read and appended to, or made; its folder must be writable too, for the reason given."""
    try:
        if path.exists():
            if not path.is_file():
                report.error(place, f"names {path}, which is no regular file, must be a file that can be written")
            elif not os.access(path, os.R_OK | os.W_OK):
                report.error(place, f"names {path}, which cannot be read and written")
        elif not path.parent.is_dir():
            report.error(place, f"names {path}, whose folder does not exist, must be in one that does")
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            report.error(place, f"names {path}, whose folder cannot be written: {why}")
    except PermissionError:
        report.error(place, f"names {path}, whose folder cannot be entered by who runs this")
    except (OSError, ValueError):
        report.error(place, f"names {path}, and no file can have that name")


def _check_audit(audit: Draft, report: Report) -> None:
    """Its file can be written and is nobody's but its owner's, and there is a key where one is named."""
    path, place = audit.values.get("file"), audit.at("file")
    if path is not None:
        _writable(path, place, report, "the file is renamed there when it is long")
        _private(path, place, report)
    key = audit.values.get("key_file")
    if key is not None and _readable(key, audit.at("key_file"), report):
        _private(key, audit.at("key_file"), report)
        _not_empty(key, audit.at("key_file"), report)


def _sections(config: Draft) -> Iterator[Draft]:
    """Every TLS section that will be used; those of devices are merged with their group's by now."""
    for listener in config.sections("listeners"):
        if listener.known("tls"):
            yield listener.values["tls"]
    for group in config.sections("groups"):
        for device in group.sections("devices"):
            if device.known("tls"):
                yield device.values["tls"]
    admin = config.values.get("admin")
    if admin is not None and admin.values.get("tls") is not None:
        yield admin.values["tls"]
    syslog = config.values["audit"].values.get("syslog") if config.known("audit") else None
    if syslog is not None and syslog.known("tls"):
        yield syslog.values["tls"]


def _check(tls: Draft, report: Report, now: datetime) -> None:
    if tls.values.get("mode") is TlsMode.CLEAR:
        return
    _check_pair(tls, report, now)
    for path, place in zip(tls.values.get("ca", ()), tls.items.get("ca", ()), strict=False):
        if _readable(path, place, report):
            try:
                certificates = load_certificates((path,))
            except CredentialError as exc:
                report.error(place, str(exc))
            else:
                for certificate in certificates:
                    _dates(certificate, path, place, report, now)
    for path, place in zip(tls.values.get("crl", ()), tls.items.get("crl", ()), strict=False):
        if _readable(path, place, report):
            try:
                lists = load_crls((path,))
            except CredentialError as exc:
                report.error(place, str(exc))
            else:
                for crl in lists:
                    _crl_dates(crl, path, place, report, now)


def _check_pair(tls: Draft, report: Report, now: datetime) -> None:
    """Our own certificate, its key and the key's password."""
    fields = [name for name in ("certificate", "key", "key_password_file") if tls.values.get(name) is not None]
    alone = "key" not in fields and "key" not in tls.broken  # its file holds the key too
    # Every one is looked at, so that two missing files are two problems.
    readable = [_readable(tls.values[name], tls.at(name), report) for name in fields]
    for name, opened in zip(fields, readable, strict=True):
        if opened and (name != "certificate" or alone):
            _private(tls.values[name], tls.at(name), report)
    if "certificate" not in fields or not all(readable) or tls.broken & {"certificate", "key", "key_password_file"}:
        return
    certificate: Path = tls.values["certificate"]
    try:
        credentials = load_credentials(certificate, tls.values.get("key"), tls.values.get("key_password_file"))
    except CredentialError as exc:
        report.error(_blamed(tls, exc), str(exc))
        return
    for each in (credentials.certificate, *credentials.chain):
        _dates(each, certificate, tls.at("certificate"), report, now)


def _blamed(tls: Draft, exc: CredentialError) -> Place:
    """The key whose file the error is about: its message starts with that file's path."""
    for field in ("key_password_file", "key"):
        path = tls.values.get(field)
        if path is not None and str(exc).startswith(f"{path}:"):
            return tls.at(field)
    return tls.at("certificate")


def _readable(path: Path, place: Place, report: Report) -> bool:
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            report.error(place, f"names {path}, which is no regular file, must be a readable file")
            return False
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        report.error(place, f"names {path}, which does not exist, must be a readable file")
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "no file can have that name"
        report.error(place, f"names {path}, which cannot be read ({reason}), must be a readable file")
    else:
        return True
    return False


def _private(path: Path, place: Place, report: Report) -> None:
    """A secret should be its owner's, and its group's at most."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if mode & stat.S_IROTH:
        report.warn(place, f"names {path}, which everyone on this machine can read: chmod o-rwx")


def _not_empty(path: Path, place: Place, report: Report) -> None:
    try:
        text = path.read_bytes().strip()
    except OSError as exc:
        report.error(place, f"names {path}, which cannot be read ({exc.strerror}), must be a readable file")
        return
    if not text:
        report.error(place, f"names {path}, which is empty, must hold the secret")


def _dates(certificate: x509.Certificate, path: Path, place: Place, report: Report, now: datetime) -> None:
    subject = certificate.subject.rfc4514_string() or "without a subject"
    starts, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if ends <= now:
        report.error(place, f"names {path}, whose certificate {subject} expired on {ends:{_DAY}}, must be renewed")
    elif starts > now:
        report.error(place, f"names {path}, whose certificate {subject} is not valid before {starts:{_DAY}}")
    elif ends - now < _SOON:
        report.warn(place, f"names {path}, whose certificate {subject} expires on {ends:{_DAY}}, renew it soon")


def _crl_dates(crl: x509.CertificateRevocationList, path: Path, place: Place, report: Report, now: datetime) -> None:
    """OpenSSL refuses everyone under a list that is out of date."""
    if crl.last_update_utc > now:
        report.error(place, f"names {path}, whose list is not valid before {crl.last_update_utc:{_DAY}}")
    ends = crl.next_update_utc
    if ends is not None and ends <= now:
        report.error(place, f"names {path}, whose next update was due on {ends:{_DAY}}, must be fetched anew")
