"""Whether what a group asks its devices, to see that they are alike, can be asked and compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from . import ping_request
from .catalogue import Catalogue
from .model import GroupType, LikenessAction
from .problems import Report
from .structure import Draft

_OF_THE_MESSAGE: Final = ("AO", "AG")  # the code, and the echo of the request: they say nothing about a device


def check(group: Draft, devices: Sequence[Draft], catalogue: Catalogue, report: Report) -> None:
    """Report what is wrong with a group's ``identity``, and with the serial numbers of its devices."""
    identity: Draft = group.values["identity"]
    probes = identity.values.get("probes")
    for probe in probes or ():
        _probe(probe, catalogue, report)
    _pin(identity, devices, catalogue, report)
    if not identity.known("probes", "pin", "action") or not group.known("type") or "probes" in identity.partial:
        return
    nothing = not probes if group.values["type"] is not GroupType.HSM else probes == ()
    if nothing and identity.values["pin"] is None and identity.values["action"] is LikenessAction.ENFORCE:
        report.error(identity.at("action"), "is enforce, but nothing is compared: needs probes, or pin")


def _probe(probe: Draft, catalogue: Catalogue, report: Report) -> None:
    if probe.known("request"):
        ping_request.check(probe, catalogue, report)
    if not probe.known("compare") or probe.values["compare"] == "body":
        return
    tags = probe.values["compare"]
    if not tags and "compare" not in probe.partial:
        report.error(probe.at("compare"), "is empty, must be body, or a list of tags")
    for tag, place in zip(tags, probe.items["compare"], strict=True):
        if tag in _OF_THE_MESSAGE:
            report.error(place, f"is {tag}, which says nothing about a device: remove it")


def _pin(identity: Draft, devices: Sequence[Draft], catalogue: Catalogue, report: Report) -> None:
    if not identity.known("pin"):
        return
    pin: Draft | None = identity.values["pin"]
    pinned: dict[str, int] = {}
    for device in devices:
        serial = device.values.get("serial")
        if serial is None:
            continue
        place = device.at("serial")
        if pin is None:
            report.error(
                place, "is compared with nothing, needs identity.pin of its group, which says where to read it"
            )
        elif serial in pinned:
            report.error(place, f"is '{serial}' as on line {pinned[serial]}, must be unique: give another")
        pinned.setdefault(serial, place.line)
    if pin is None:
        return
    if pin.known("request"):
        ping_request.check(pin, catalogue, report)
    if pin.known("serial") and pin.values["serial"] in _OF_THE_MESSAGE:
        report.error(pin.at("serial"), f"is {pin.values['serial']}, which says nothing about a device")
    if not pinned and all(device.known("serial") for device in devices):
        report.warn(identity.at("pin"), "pins nothing: no device of the group has a serial")
