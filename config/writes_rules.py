"""Whether a group's ``writes`` fits its devices and the catalogue."""

from __future__ import annotations

from pathlib import Path

from .catalogue import Catalogue, Effect
from .model import GroupType, PrimaryLoss, Role, WritesMode
from .problems import Report
from .structure import Draft


def replicated(group: Draft) -> bool:
    """Whether writes are to reach every device; the question is not open where mode or type cannot be read."""
    mode = group.values["writes"].values.get("mode")
    return mode is WritesMode.REPLICATE or (mode is None and group.values.get("type") is not GroupType.KMS)


def check(group: Draft, devices: list[Draft] | None, catalogue: Catalogue, report: Report) -> None:
    """``devices`` is None where they cannot all be read."""
    writes = group.values["writes"]
    if writes.known("quorum") and writes.values["quorum"].isdigit() and devices is not None:
        wanted, there = int(writes.values["quorum"]), len(devices)
        if wanted > there:
            report.error(writes.at("quorum"), f"is {wanted}, must be at most {there}, the number of devices")
    if writes.given("quorum") and not replicated(group):
        report.warn(writes.at("quorum"), "has no meaning where mode is not replicate: remove it")
    if writes.values.get("primary_loss") is PrimaryLoss.PROMOTE and devices is not None:
        roles = [device.values.get("role", Role.PRODUCTION) for device in devices]
        if Role.PRODUCTION not in roles:
            report.warn(writes.at("primary_loss"), "is promote, but there is no device with role: production")
    for code, place in zip(writes.values.get("varying", ()), writes.items.get("varying", ()), strict=False):
        command = catalogue.get(code)
        if command is None:
            report.warn(place, f"is {code}, which is in no catalogue: its clients are pinned, and it is not compared")
        elif command.effect is not Effect.WRITE or not command.deterministic:
            report.warn(place, f"is {code}, which is not repeated on other devices, so that it is not compared")


def check_journals(groups: list[Draft], report: Report) -> None:
    """No two groups write into one file."""
    seen: dict[Path, int] = {}
    for group in groups:
        writes = group.values.get("writes")
        if writes is None or writes.values.get("journal") is None:
            continue
        path = writes.values["journal"]
        place = writes.at("journal")
        if path in seen:
            report.error(place, f"is the file that line {seen[path]} names, must be a file of its own")
        seen.setdefault(path, place.line)
