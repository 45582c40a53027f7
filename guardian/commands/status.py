"""`guardian status`: groups and devices of a running proxy, once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import click

from guardian import console
from guardian.remote import Remote, admin_options

_COLUMNS: Final = (
    "DEVICE", "ROLE", "WILL", "HEALTH", "SERVES", "OUTSTANDING", "REQUESTS", "ERRORS", "P50 MS", "P99 MS", "WHY",
)  # fmt: skip
_NUMBERS: Final = frozenset(range(5, 10))  # columns aligned to the right
_COLOURS: Final = {"up": "green", "yes": "green", "down": "red", "unsafe": "red", "ejected": "red", "no": "yellow",
                   "probation": "yellow", "unknown": "yellow", "drain": "yellow", "maint": "yellow"}  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print what /status answers.")
@admin_options
def status(remote: Remote, as_json: bool) -> int:
    """Show the groups and devices of a running proxy.

    Exit code 1 if a group has no usable device.
    """
    found = remote.status()
    groups = found["groups"]
    console.say(json.dumps(found, indent=1) if as_json else "\n".join(lines(found)))
    return 0 if all(any(device.get("in_service") for device in group.get("devices", ())) for group in groups) else 1


def lines(found: dict[str, Any]) -> list[str]:
    """The answer of /status as aligned text."""
    made = [f"proxy {found.get('state', '?')}"]
    for listener in found.get("listeners", ()):
        made.append(f"listener {listener.get('name')} on {listener.get('bind')}: {listener.get('connections')} clients")
    for group in found["groups"]:
        devices = group.get("devices", ())
        usable = sum(bool(device.get("in_service")) for device in devices)
        queued = f", {group['queued']} queued" if group.get("queued") else ""
        made += ["", f"group {group.get('name')}: {usable} of {len(devices)} devices in service{queued}"]
        made += _table([_COLUMNS, *(_row(device) for device in devices)])
    return made


def _row(device: dict[str, Any]) -> tuple[str, ...]:
    latency = device.get("latency_ms") or {}
    return (
        _text(device.get("name")), _text(device.get("role")), _text(device.get("will")), _text(device.get("health")),
        "yes" if device.get("in_service") else "no", _text(device.get("outstanding")), _text(device.get("requests")),
        _text(device.get("errors")), _number(latency.get("p50")), _number(latency.get("p99")),
        _text(device.get("reason") or ""),
    )  # fmt: skip


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    made = []
    for row in rows:
        cells = []
        for column, cell in enumerate(row):
            padded = cell.rjust(widths[column]) if column in _NUMBERS else cell.ljust(widths[column])
            colour = _COLOURS.get(cell) if column in (2, 3, 4) and row is not rows[0] else None
            cells.append(click.style(padded, fg=colour) if colour else padded)
        made.append("  " + "  ".join(cells).rstrip())
    return made


def _text(value: object) -> str:
    """A value without control characters: what a device says of itself must not steer a terminal."""
    text = "-" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _number(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "-"
