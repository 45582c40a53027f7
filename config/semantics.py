"""Checks that need more than one key: names that must exist, numbers that must fit together, rules of a group.

They work on drafts, so a value that is itself wrong silences only the checks that need it. This is also where a draft
is completed: a device's TLS gets its group's, ``errors`` their defaults.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable, Iterable
from itertools import pairwise
from typing import Any, Final

from . import (
    admin_rules,
    audit_rules,
    identity_rules,
    ping_request,
    session_rules,
    tls_rules,
    worker_rules,
    writes_rules,
)
from .catalogue import Catalogue
from .function_rules import check_functions, check_nested
from .model import DEFAULT_ERRORS, Bind, GroupType, Role
from .problems import Place, Report
from .structure import Draft
from .units import format_duration
from .values import nearest

_MOST_BUCKETS: Final = 50  # each is a series for each command of each group


def check(config: Draft, catalogue: Catalogue, report: Report) -> None:
    """Report everything that is wrong with a whole configuration, and complete it."""
    listeners, groups = config.sections("listeners"), config.sections("groups")
    for field, word in (("listeners", "listener"), ("groups", "group")):
        if config.known(field) and not config.sections(field) and field not in config.partial:
            report.error(config.at(field), f"is empty, must have at least one {word}")
        _unique(config.sections(field), "name", report)
    _binds(listeners, config.values.get("admin"), report)
    _group_names(config, listeners, groups, report)
    for listener in listeners:
        if listener.known("tls"):
            tls_rules.check_listener(listener.values["tls"], report)
    for group in groups:
        _group(group, catalogue, report)
    writes_rules.check_journals(groups, report)
    worker_rules.check(config, report)
    if config.known("admin"):
        _admin(config.values["admin"], report)
        admin_rules.check(config.values["admin"], report)
    if config.known("audit"):
        audit_rules.check(config.values["audit"], groups, report)
    if config.known("shutdown"):
        _shutdown(config.values["shutdown"], report)
    if config.known("errors"):
        _errors(config, report)


def _shutdown(shutdown: Draft, report: Report) -> None:
    if not (shutdown.known("spread") and shutdown.known("timeout")):
        return
    spread, timeout = shutdown.values["spread"], shutdown.values["timeout"]
    if spread >= timeout:
        took = format_duration(spread)
        report.error(
            shutdown.at("spread"), f"is {took}, must be less than timeout ({format_duration(timeout)}), which ends all"
        )


def _unique(drafts: Iterable[Draft], field: str, report: Report) -> None:
    """No two of them have the same value there."""
    first: dict[Hashable, Draft] = {}
    for draft in drafts:
        if not draft.known(field):
            continue
        value = draft.values[field]
        if value in first:
            line = first[value].at(field).line
            report.error(draft.at(field), f"is '{value}' as on line {line}, must be unique: give another")
        else:
            first[value] = draft


def _binds(listeners: list[Draft], admin: Draft | None, report: Report) -> None:
    """No two of them listen on one port of one address; port 0 is a free one each time."""
    seen: list[tuple[Bind, Place]] = []
    for draft in [*listeners, *([admin] if admin is not None else [])]:
        if not draft.known("bind") or not isinstance(draft.values["bind"], Bind):
            continue
        bind: Bind = draft.values["bind"]
        place = draft.at("bind")
        for other, where in seen:
            if bind.port and bind.port == other.port and _overlap(bind.host, other.host):
                report.error(place, f"is {bind}, which {where.path} (line {where.line}) takes, must be a free address")
                break
        seen.append((bind, place))


def _overlap(one: str, other: str) -> bool:
    if one == other:
        return True
    wild = {"0.0.0.0": False, "::": True}  # noqa: S104 (compared, not bound)
    return any(a in wild and (":" in b) == wild[a] for a, b in ((one, other), (other, one)))


def _group_names(config: Draft, listeners: list[Draft], groups: list[Draft], report: Report) -> None:
    """Every listener names a group, and every group is named."""
    names = [group.values["name"] for group in groups if group.known("name")]
    complete = len(names) == len(groups) and config.known("groups") and "groups" not in config.partial
    for listener in listeners:
        if complete and names and listener.known("group") and listener.values["group"] not in names:
            near = nearest(listener.values["group"], names)
            report.error(listener.at("group"), f"is '{listener.values['group']}', which is no group, {near}")
    used = {listener.values["group"] for listener in listeners if listener.known("group")}
    for group in groups if listeners and all(listener.known("group") for listener in listeners) else ():
        if group.known("name") and group.values["name"] not in used:
            name = group.values["name"]
            report.warn(group.at("name"), f"'{name}' is used by no listener: its devices are pinged, and no more")


def _group(group: Draft, catalogue: Catalogue, report: Report) -> None:
    devices = group.sections("devices")
    if group.known("tls"):
        tls_rules.normalise_fingerprint(group.values["tls"], report)
    if group.known("devices"):
        _unique(devices, "name", report)
        _unique(devices, "address", report)
        _primary(group, devices, report)
    for device in devices:
        if device.known("address") and device.values["address"].port == 0:
            report.error(device.at("address"), "has port 0, must have the device's port, such as 9100")
        _usual_port(group, device, report)
        if device.known("tls") and group.known("tls"):
            device.values["tls"] = tls_rules.merged(group.values["tls"], device.values["tls"])
            tls_rules.check_device(device.values["tls"], report)
    _times(group, devices, report)
    if group.known("ping") and group.values["ping"].known("request"):
        ping_request.check(group.values["ping"], catalogue, report)
    if group.known("identity"):
        identity_rules.check(group, devices, catalogue, report)
    check_nested(group, report)
    if group.known("sessions"):
        session_rules.check(group.values["sessions"], catalogue, report)
    if group.known("writes"):
        whole = group.known("devices") and "devices" not in group.partial
        writes_rules.check(group, devices if whole else None, catalogue, report)
    if group.known("functions"):
        check_functions(group.values["functions"], group, catalogue, report)
    _clients(group, catalogue, report)


def _usual_port(group: Draft, device: Draft, report: Report) -> None:
    """Warn of the port that the other type of device has by default; any other may be right."""
    if not (group.known("type") and device.known("address")):
        return
    usual = {GroupType.HSM: 9100, GroupType.KMS: 2001}
    kind, port = group.values["type"], device.values["address"].port
    if port != usual[kind] and port in usual.values():
        report.warn(device.at("address"), f"has port {port}; with type: {kind.value} it is usually {usual[kind]}")


def _primary(group: Draft, devices: list[Draft], report: Report) -> None:
    """Exactly one device is the primary; the question is open while a device's role cannot be read."""
    if not all(device.known("role") for device in devices) or "devices" in group.partial:
        return
    primaries = [device for device in devices if device.values["role"] is Role.PRIMARY]
    if not devices:
        report.error(group.at("devices"), "is empty, must have at least one device, with role: primary")
    elif not primaries:
        report.error(group.at("devices"), "has no primary, exactly one device must have role: primary")
    for extra in primaries[1:]:
        line = primaries[0].at("role").line
        report.error(
            extra.at("role"), f"is a second primary (the first is on line {line}), must be production or backup"
        )
    if devices and all(device.known("balancing") and not device.values["balancing"] for device in devices):
        report.warn(group.at("devices"), "has balancing: false on every device, so that none ever serves")


def _times(group: Draft, devices: list[Draft], report: Report) -> None:
    """Durations that must fit into one another."""
    if group.known("ping"):
        ping = group.values["ping"]
        _fits(ping, "timeout", ping, "interval", report)
        for device in devices:
            if device.given("ping_timeout") and device.known("ping_timeout") and device.values["ping_timeout"]:
                _fits(device, "ping_timeout", ping, "interval", report)
    if group.known("identity"):
        _fits(group.values["identity"], "timeout", group.values["identity"], "interval", report)
    if group.known("retries"):
        _fits(group.values["retries"], "attempt_timeout", group, "request_timeout", report)
    if group.known("ejection"):
        _fits(group.values["ejection"], "base", group.values["ejection"], "max", report)


def _fits(inner: Draft, field: str, outer: Draft, limit: str, report: Report) -> None:
    """One duration is at most another. Said at the key that is given, where only one is."""
    if not inner.known(field) or not outer.known(limit) or inner.values[field] <= outer.values[limit]:
        return
    short, long = format_duration(inner.values[field]), format_duration(outer.values[limit])
    if inner.given(field) or not outer.given(limit):
        report.error(inner.at(field), f"is {short}, must be at most {limit}, which is {long}")
    else:
        by_default = inner.place.path.rpartition(".")[2]
        report.error(outer.at(limit), f"is {long}, must be at least {by_default}.{field}, which is {short} by default")


def _clients(group: Draft, catalogue: Catalogue, report: Report) -> None:
    seen: dict[Hashable, int] = {}
    for rule in group.sections("clients"):
        if rule.known("functions"):
            check_functions(rule.values["functions"], group, catalogue, report)
        if not rule.known("match"):
            continue
        match = rule.values["match"]
        fields = ("common_name", "san", "fingerprint")
        if not match.known(*fields):
            continue
        tls_rules.normalise_fingerprint(match, report)
        if not match.known(*fields):
            continue
        key = tuple(match.values[field] for field in fields)
        if not any(key):
            report.error(match.place, "is empty, must have common_name, san or fingerprint")
        elif key in seen:
            report.warn(
                match.place, f"is the same as on line {seen[key]}, whose rule comes first: this one never counts"
            )
        seen.setdefault(key, match.place.line)


def _admin(admin: Draft, report: Report) -> None:
    if admin.known("buckets"):
        _buckets(admin, report)
    if not admin.known("bind", "token_file", "tls"):
        return
    tls = admin.values["tls"]
    mutual = tls is not None and (not tls.known("ca") or tls.values["ca"])
    tokens = admin.values["token_file"] is not None or not admin.known("tokens") or admin.values["tokens"]
    if isinstance(admin.values["bind"], Bind) and not (_loopback(admin.values["bind"].host) or tokens or mutual):
        report.error(
            admin.at("bind"),
            f"is {admin.values['bind']}, which others can reach: needs token_file or tokens, or tls with ca",
        )


def _buckets(admin: Draft, report: Report) -> None:
    """They rise, and are few enough for the histograms of all commands."""
    bounds = admin.values["buckets"]
    for lower, upper in pairwise(bounds):
        if upper <= lower:
            problem = f"has {format_duration(upper)} after {format_duration(lower)}, must rise"
            report.error(admin.at("buckets"), problem)
            return
    if not 1 <= len(bounds) <= _MOST_BUCKETS:
        report.error(admin.at("buckets"), f"has {len(bounds)} bounds, must have 1 to {_MOST_BUCKETS}")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _errors(config: Draft, report: Report) -> None:
    """Complete the table key by key, then see that no number is used twice."""
    given: dict[Any, Draft] = config.values["errors"]
    table: dict[Any, Any] = dict(DEFAULT_ERRORS)
    for refusal, draft in given.items():
        default = DEFAULT_ERRORS[refusal]
        for field in ("number", "text"):
            if field not in draft.values and field not in draft.broken:
                draft.values[field] = getattr(default, field)
        table[refusal] = draft
    numbers: dict[int, str] = {}
    for refusal in sorted(table, key=lambda each: isinstance(table[each], Draft)):
        entry = table[refusal]
        if isinstance(entry, Draft) and not entry.known("number"):
            continue
        number = entry.values["number"] if isinstance(entry, Draft) else entry.number
        if number in numbers:
            report.error(
                entry.at("number"), f"is {number} like that of '{numbers[number]}', must be a number of its own"
            )
        else:
            numbers[number] = refusal.value
    config.values["errors"] = table
