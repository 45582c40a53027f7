"""The end of the demo: what was asked, what was lost, who did the work, and how the failover went."""

from __future__ import annotations

from collections.abc import Mapping

from .admin import DeviceState
from .configuration import BACKUP, DEVICES, VICTIM
from .screen import Screen
from .tally import Tally
from .watch import Watch


def print_summary(
    screen: Screen, tally: Tally, watch: Watch, devices: Mapping[str, DeviceState], seconds: float
) -> None:
    """`seconds` is how long there was traffic."""
    screen.table("Requests", ["", "number"], _requests(tally, seconds))
    screen.table("Share per device", ["device", "role", "requests", "share"], _shares(devices))
    screen.table("Failover", ["", "when"], _failover(watch))
    for reason, count in tally.reasons.most_common(5):
        screen.plain(f"  failed {count} times: {reason}", "bad")
    verdict = f"{tally.failed_reads} of {tally.reads} reads failed while {VICTIM} was killed and came back."
    screen.plain(f"\n{verdict}", "bad" if tally.failed_reads else "good")


def _requests(tally: Tally, seconds: float) -> list[list[str]]:
    rows = [
        ["requests", f"{tally.requests}"],
        ["  reads", f"{tally.reads}"],
        ["  writes", f"{tally.writes}"],
        ["errors", f"{tally.errors}"],
        ["requests per second", f"{tally.requests / seconds:.0f}"],
        ["p50", f"{tally.percentile(0.5) * 1000:.1f} ms"],
        ["p99", f"{tally.percentile(0.99) * 1000:.1f} ms"],
    ]
    if tally.unknown:
        rows.insert(4, ["writes in doubt, answered 903", f"{tally.unknown}"])
    return rows


def _shares(devices: Mapping[str, DeviceState]) -> list[list[str]]:
    total = sum(device.requests for device in devices.values()) or 1
    return [
        [device.name, device.role, str(devices[device.name].requests),
         f"{devices[device.name].requests / total:.1%}"]
        for device in DEVICES
        if device.name in devices
    ]  # fmt: skip


def _failover(watch: Watch) -> list[list[str]]:
    return [
        [f"{BACKUP} (backup) served", _after(watch.took_over, watch.killed, f"{VICTIM} was killed")],
        [f"{VICTIM} served again", _after(watch.returned, watch.restarted, "it was started again")],
        [f"{BACKUP} rested again", _after(watch.rested, watch.restarted, f"{VICTIM} was started again")],
    ]


def _after(moment: float | None, begin: float | None, what: str) -> str:
    if moment is None or begin is None:
        return "not seen"
    return f"{(moment - begin) * 1000:.0f} ms after {what}"
