"""Clock, descriptors, certificates and disks: facts in, findings out. Pure; times are Unix times."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs

from balancer.transport.names import matches_name
from balancer.transport.peers import Certificate
from config.model import Config

from .finding import Finding, ok, problem, warning

_DRIFT: Final = 2.0  # seconds between two clocks; the round trip is in it
_SOON: Final = 30 * 86_400.0
_KEPT_BACK: Final = 64  # descriptors, as the proxy does
_LITTLE: Final = 100 * 1_048_576  # bytes
_NOTHING: Final = 10 * 1_048_576
_WILD: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


@attrs.frozen(kw_only=True)
class Place:
    """A file that Guardian writes, and its disk. ``free`` and ``size`` in bytes; None where it cannot be told."""

    what: str  # the key that names it
    path: Path
    exists: bool
    mode: int | None = None
    writable: bool
    free: int | None = None
    size: int | None = None


def judge_clock(
    now: float, synchronised: bool | None, proxy: float | None, begins: Mapping[str, float]
) -> Iterator[Finding]:
    """``proxy``: the running proxy's clock at ``now``. ``begins``: file -> when its certificate begins."""
    early = {file: start for file, start in begins.items() if start > now}
    if early and len(early) == len(begins):
        yield problem(
            "clock", f"it is {_moment(now)} here, before every certificate begins: set the clock, or mend NTP"
        )
    else:
        for file, start in early.items():
            yield problem(
                "clock", f"{file} begins on {_moment(start)}, and it is {_moment(now)} here: wait, or set the clock"
            )
    if proxy is not None and abs(proxy - now) > _DRIFT:
        yield warning("clock", f"the proxy's is {proxy - now:+.0f} s beside this one: NTP on both machines")
    kept = {True: "kept by NTP", False: "kept by nobody", None: "whether NTP keeps it cannot be told"}[synchronised]
    if synchronised is False:
        yield warning(
            "clock", f"{_moment(now)}, {kept}: run chrony or systemd-timesyncd; certificates and CRLs are judged by it"
        )
    elif not early:
        beside = "" if proxy is None else ", as the proxy's"
        yield ok("clock", f"{_moment(now)}{beside}, {kept}")


def descriptors_needed(config: Config) -> tuple[int, int]:
    """For devices and ourselves, which are kept back; and with all clients that the listeners allow."""
    devices = _KEPT_BACK + sum(device.connections + 2 for group in config.groups for device in group.devices)
    clients = sum(listener.limits.connections + listener.limits.handshakes for listener in config.listeners)
    return devices, devices + clients


def judge_descriptors(config: Config, limit: int, whose: str) -> Finding:
    """``limit``: of ``whose`` process."""
    least, most = descriptors_needed(config)
    told = f"{whose} may open {limit} files"
    if limit <= least:
        return problem("descriptors", f"{told}, devices alone need {least}: raise LimitNOFILE to {most} or more")
    if limit < most:
        return warning(
            "descriptors",
            f"{told}, all clients of limits.connections need {most}: {limit - least} get in; raise LimitNOFILE, or "
            "lower the limits",
        )
    return ok("descriptors", f"{told}, {most} are needed at most")


def judge_ends(now: float, ends: Mapping[str, float], running: Mapping[str, float]) -> Iterator[Finding]:
    """``ends``: file -> when it, or its list, ends. ``running``: the same as the running proxy has them."""
    bad = False
    for file, end in sorted(ends.items(), key=lambda item: item[1]):
        if end <= now:
            bad = True
            yield problem("certificates", f"{file} ended on {_moment(end)}: renew it, then reload")
        elif end - now < _SOON:
            bad = True
            yield warning("certificates", f"{file} ends on {_moment(end)}, in {_days(end - now)}: renew it")
    for file, end in running.items():
        if file in ends and abs(ends[file] - end) > 1:
            bad = True
            yield warning(
                "certificates",
                f"{file} is another than the running proxy's, which ends on {_moment(end)}: reload, so that it is used",
            )
    if ends and not bad:
        first = min(ends, key=lambda file: ends[file])
        yield ok("certificates", f"{len(ends)} files; the first to end is {first}, in {_days(ends[first] - now)}")


def judge_listener_name(listener: str, host: str, shown: Certificate, own: Collection[str]) -> Finding:
    """``shown``: the listener's certificate. ``own``: names of this machine."""
    about = f"listener {listener}"
    names = ", ".join((*shown.dns_names, *shown.addresses)) or shown.common_name or "nobody"
    wanted = own if host in _WILD else (host, *own)
    if any(
        matches_name(name, has_san=shown.has_san, dns_names=shown.dns_names, addresses=shown.addresses,
                     common_name=shown.common_name)
        for name in wanted
    ):  # fmt: skip
        return ok(about, f"its certificate is for {names}")
    return warning(
        about,
        f"its certificate is for {names}, not for {host if host not in _WILD else 'this machine'}: clients that "
        "compare names need the one that they connect to in it",
    )


def judge_places(found: Sequence[Place]) -> Iterator[Finding]:
    for each in found:
        about = f"disk, {each.what}"
        if not each.writable:
            yield problem(about, f"{each.path} cannot be written by this user: is that the user that Guardian runs as?")
            continue
        if each.mode is not None and each.mode & 0o007:
            yield warning(about, f"{each.path} is open to everybody (mode {each.mode:o}): chmod o= {each.path}")
        if each.free is None or each.size is None:
            yield warning(about, f"how much room is left for {each.path} cannot be told")
        elif each.free < _NOTHING:
            yield problem(about, f"{_megabytes(each.free)} are left for {each.path}: writes will be refused; make room")
        elif each.free < _LITTLE or each.free * 20 < each.size:
            share = 100 * each.free // max(each.size, 1)
            yield warning(about, f"{_megabytes(each.free)} ({share} %) are left for {each.path}: make room")
        else:
            yield ok(about, f"{_megabytes(each.free)} are left for {each.path}")


@attrs.frozen(kw_only=True)
class Running:
    """What a running proxy's /status says, as far as it is judged here."""

    now: float | None = None
    descriptors: int | None = None
    ends: Mapping[str, float] = attrs.field(factory=dict)
    maintained: frozenset[str] = frozenset()  # group/device that the operator has taken out
    findings: tuple[Finding, ...] = ()


def judge_running(status: Mapping[str, object], admin: str, wanted: Mapping[str, str]) -> Running:
    """``status``: what /status answered; what is not as expected in it is passed over.

    ``wanted``: the configuration's devices, group/device -> address.
    """
    groups = [group for group in _list(status, "groups") if isinstance(group, dict)]
    findings = [_state(status, admin)]
    maintained = set()
    running: dict[str, str] = {}
    for group in groups:
        devices = [device for device in _list(group, "devices") if isinstance(device, dict)]
        if not any(device.get("in_service") for device in devices):
            findings.append(problem(f"group {group.get('name')}", "no device is in service: clients get 902"))
        for device in devices:
            name = f"{group.get('name')}/{device.get('name')}"
            running[name] = str(device.get("address"))
            if device.get("will") == "maint":
                maintained.add(name)
            findings += _belief(name, device)
    other = sorted(name for name in {*running, *wanted} if running.get(name) != wanted.get(name))
    if other:
        findings.append(
            warning(
                "proxy",
                f"it has another configuration than this file ({', '.join(other)}): is it this one's, was it reloaded?",
            )
        )
    descriptors = status.get("descriptors")
    limit = descriptors.get("limit") if isinstance(descriptors, dict) else None
    ends = {
        str(each["file"]): end
        for each in _list(status, "certificates")
        if isinstance(each, dict) and "file" in each and (end := _unix(each.get("expires"))) is not None
    }
    return Running(
        now=_unix(status.get("now")),
        descriptors=limit if isinstance(limit, int) else None,
        ends=ends,
        maintained=frozenset(maintained),
        findings=tuple(findings),
    )


def _state(status: Mapping[str, object], admin: str) -> Finding:
    told = f"{status.get('state')} at {admin}, version {status.get('version')}"
    return ok("proxy", told) if status.get("state") == "serving" else warning("proxy", told)


def _belief(name: str, device: Mapping[str, object]) -> Iterator[Finding]:
    about, health, will = f"device {name}", device.get("health"), device.get("will")
    reason = f": {device.get('reason')}" if device.get("reason") else ""
    if will in ("drain", "maint"):
        yield warning(about, f"an operator has it in {will}: `guardian device ready {name}` brings it back")
    elif health in ("down", "unsafe", "ejected"):
        yield problem(about, f"the proxy believes it {health}{reason}")
    elif health in ("probation", "unknown"):
        yield warning(about, f"the proxy believes it {health}{reason}")
    likeness = device.get("likeness")
    if isinstance(likeness, dict) and likeness.get("state") == "unlike" and health != "unsafe":
        differs = ", ".join(str(each) for each in likeness.get("differs", ()))
        yield problem(
            about, f"the proxy finds it unlike its primary ({differs}): docs/operations.md, A device is unlike"
        )
    if device.get("behind") and health != "unsafe":
        yield problem(about, "its key table is behind: docs/operations.md, A device is behind")


def _list(section: Mapping[str, object], key: str) -> Sequence[object]:
    found = section.get(key)
    return found if isinstance(found, list) else ()


def _unix(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None


def _moment(unix: float) -> str:
    return f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%d %H:%M} UTC"


def _days(seconds: float) -> str:
    return f"{seconds / 86_400:.0f} days" if seconds >= 2 * 86_400 else f"{seconds / 3600:.0f} hours"


def _megabytes(size: int) -> str:
    return f"{size / 1_073_741_824:.1f} GiB" if size >= 1_073_741_824 else f"{size / 1_048_576:.0f} MiB"
