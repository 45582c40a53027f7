"""Who may use the admin port: that nobody is let in, or kept out, by mistake."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from . import tls_rules
from .model import UnixBind
from .problems import Report
from .structure import Draft

_OPERATOR: Final = "operator"  # who the token of `token_file` is
_IDENTITY: Final = ("common_name", "san", "fingerprint")


def check(admin: Draft, report: Report) -> None:
    _tokens(admin, report)
    _clients(admin, report)
    if not admin.known("bind"):
        return
    bind = admin.values["bind"]
    if isinstance(bind, UnixBind):
        if admin.values.get("tls") is not None:
            report.error(admin.at("tls"), "has no use with bind: unix:, must go: the file's mode says who may come")
        return
    if admin.given("mode") and admin.known("mode"):
        report.error(admin.at("mode"), "is for bind: unix: only, must go")


def _tokens(admin: Draft, report: Report) -> None:
    seen: dict[str, int] = {}
    if admin.values.get("token_file") is not None:
        seen[_OPERATOR] = admin.at("token_file").line
    for token in admin.sections("tokens"):
        if not token.known("name"):
            continue
        name, place = token.values["name"], token.at("name")
        if name in seen:
            report.error(place, f"is '{name}' as on line {seen[name]}, must be unique: give another")
        seen.setdefault(name, place.line)


def _clients(admin: Draft, report: Report) -> None:
    tls = admin.values.get("tls")
    if admin.sections("clients") and admin.known("tls") and (tls is None or (tls.known("ca") and not tls.values["ca"])):
        report.error(admin.at("clients"), "has no use where clients show no certificate, needs tls with ca")
    seen: dict[Hashable, int] = {}
    for rule in admin.sections("clients"):
        match = rule.values.get("match")
        if match is None or not match.known(*_IDENTITY):
            continue
        tls_rules.normalise_fingerprint(match, report)
        if not match.known(*_IDENTITY):
            continue
        key = tuple(match.values[field] for field in _IDENTITY)
        if not any(key):
            report.error(match.place, "is empty, must have common_name, san or fingerprint")
        elif key in seen:
            report.warn(match.place, f"is the same as on line {seen[key]}, which comes first: this one never counts")
        seen.setdefault(key, match.place.line)
