"""Why each device of a group is as it is, in a few words; slow ones too, though they serve. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardian.admin.latency import ENOUGH, Percentiles, slow


def reasons(group: Mapping[str, Any]) -> dict[str, str]:
    """By device, from a group of /status: what it says itself, else how much slower than its group it answers."""
    devices = group.get("devices", ())
    known = {
        device["name"]: Percentiles(latency.get("p50"), latency.get("p99"))
        for device in devices
        if (latency := device.get("latency_ms")) and device.get("requests", 0) >= ENOUGH
    }
    slower = slow(known)
    return {device["name"]: _reason(device, slower.get(device["name"])) for device in devices}


def _reason(device: Mapping[str, Any], slower: float | None) -> str:
    said = str(device.get("reason") or "")
    if slower is None:
        return said
    return "; ".join(filter(None, (said, f"{slower:g} times slower than the others")))
