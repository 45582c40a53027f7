"""What a device answered, or why it did not: facts of one in, findings out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

from config.model import Device, Group, GroupType, Probe
from health.drift import Portrait, Sketch, compare

from .finding import Finding, ok, problem, warning

ADMIN_PORT: Final = 9009
KMES_PORT: Final = 2001
# What the vendor's guide tries when a device cannot be connected, and what each port is.
OTHER_PORTS: Final = {9100: "Excrypt", ADMIN_PORT: "Admin", KMES_PORT: "KMES Host API"}


@attrs.frozen(kw_only=True)
class Asked:
    """What came of asking one device. Texts are for people, and hold nothing of an answer."""

    group: Group
    device: Device
    unreached: str = ""  # why there is no connection
    stranger: bool = False  # somebody answered with a certificate that is not the device's
    other_ports: Mapping[int, str] = attrs.field(factory=dict)  # tried then: port -> why not; empty: it opens
    ping: float | None = None  # seconds
    ping_fault: str = ""
    shown: Mapping[Probe, Sketch] = attrs.field(factory=dict)
    probe_faults: Mapping[str, str] = attrs.field(factory=dict)  # code -> why there is no answer to compare
    ends: float | None = None  # when its certificate ends, Unix time

    @property
    def name(self) -> str:
        return f"device {self.group.name}/{self.device.name}"


def judge_devices(asked: Sequence[Asked], now: float) -> Iterator[Finding]:
    """The devices of one group, with its primary among them or not."""
    primary = next((each for each in asked if each.device is each.group.devices[_primary(each.group)]), None)
    for each in asked:
        yield from _judge(each, primary, now)


def _judge(each: Asked, primary: Asked | None, now: float) -> Iterator[Finding]:
    address = each.device.address
    if each.unreached:
        yield problem(each.name, f"no connection to {address}: {each.unreached}; {_advice(each)}")
        return
    if each.ends is not None and each.ends - now < 30 * 86_400:
        yield warning(each.name, f"its certificate ends in {(each.ends - now) / 86_400:.0f} days: renew it")
    if each.ping is None:
        code = each.group.ping.request[3:7]
        yield problem(
            each.name, f"{address} answers TLS, but not the ping ({code}): {each.ping_fault}; {_silent(each.group)}"
        )
        return
    alike = _likeness(each, primary)
    told = f"{address} answers in {each.ping * 1000:.1f} ms"
    if isinstance(alike, str):
        yield ok(each.name, f"{told}{alike}")
    else:
        yield ok(each.name, told)
        yield alike


def _likeness(each: Asked, primary: Asked | None) -> Finding | str:
    """A finding of its own where it is not fine; else what is said of it beside the rest."""
    if each.probe_faults:
        faults = "; ".join(f"{code} {why}" for code, why in each.probe_faults.items())
        return warning(each.name, f"whether it is alike cannot be told: {faults}; see identity.probes")
    if not each.shown:
        return ""
    if primary is each:
        return ", it is the primary"
    if primary is None or not primary.shown:
        return warning(each.name, "whether it is alike cannot be told: its primary showed nothing to compare with")
    differences = compare(Portrait(each.shown, 0), Portrait(primary.shown, 0)).differences
    if not differences:
        return ", like its primary"
    fields = ", ".join(difference.field for difference in differences)
    return problem(
        each.name, f"unlike its primary {primary.device.name} ({fields}): docs/operations.md, A device is unlike"
    )


def _advice(each: Asked) -> str:
    """What the vendor's guide makes of which ports open and which do not."""
    if each.stranger:
        return "is tls.name the name in its certificate (often CN=Production), and tls.ca of its tree, RSA or ECC?"
    if "resolved" in each.unreached or "no address" in each.unreached:
        return "give its address, or mend DNS or /etc/hosts here"
    if each.unreached.startswith("TLS"):
        return "do both sides use the same CA tree, RSA or ECC, and does the device believe tls.certificate?"
    opened = [port for port, why in each.other_ports.items() if not why]
    port = each.device.address.port
    if KMES_PORT in opened and each.group.type is GroupType.HSM and ADMIN_PORT not in opened:
        return f"{KMES_PORT} opens: that is a KMES, which wants a group of type kms and that port"
    if opened:
        ports = " and ".join(f"{found} ({OTHER_PORTS[found]})" for found in opened)
        kind = "Host API" if port == KMES_PORT else "Excrypt"
        return (
            f"but {ports} opens, so the machine is there: {kind} port configuration: is port {port} enabled on it, "
            "with TLS and connections allowed?"
        )
    tried = ", ".join(str(found) for found in each.other_ports)
    return f"{tried} do not open either: Admin port configuration, or the machine is off, or a firewall is between"


def _silent(group: Group) -> str:
    if group.type is GroupType.KMS:
        return "a KMES may not know ECHO: set ping.request, or ping.accept: answer"
    return "is its framing right, is the command open before login? docs/assumptions.md has what to try"


def _primary(group: Group) -> int:
    return next(at for at, device in enumerate(group.devices) if device.role.value == "primary")
