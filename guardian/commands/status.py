"""`guardian status`: groups and devices of a running proxy, once."""

from __future__ import annotations

import json
from typing import Any, Final

import click

from guardian import console
from guardian.remote import Remote, admin_options

from . import table
from .slowness import reasons
from .table import Column, milliseconds, plain

_COLUMNS: Final = (
    Column("DEVICE"), Column("ROLE"), Column("WILL", coloured=True), Column("HEALTH", coloured=True),
    Column("SERVES", coloured=True), Column("OUTSTANDING", right=True), Column("REQUESTS", right=True),
    Column("ERRORS", right=True), Column("P50 MS", right=True), Column("P99 MS", right=True), Column("WHY"),
)  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print what /status answers.")
@admin_options
def status(remote: Remote, as_json: bool) -> int:
    """Show the groups and devices of a running proxy.

    Exit code 1 if a group has no usable device, or the proxy is still starting.
    """
    found = remote.status()
    groups = found["groups"]
    console.say(json.dumps(found, indent=1) if as_json else "\n".join(lines(found)))
    if found.get("state") == "starting":
        return 1  # several workers know no groups before the first serves
    return 0 if all(any(device.get("in_service") for device in group.get("devices", ())) for group in groups) else 1


def lines(found: dict[str, Any]) -> list[str]:
    """The answer of /status as aligned text."""
    made = [f"proxy {found.get('state', '?')}{workers(found)}"]
    for listener in found.get("listeners", ()):
        made.append(f"listener {listener.get('name')} on {listener.get('bind')}: {listener.get('connections')} clients")
    for group in found["groups"]:
        devices = group.get("devices", ())
        usable = sum(bool(device.get("in_service")) for device in devices)
        queued = f", {group['queued']} queued" if group.get("queued") else ""
        made += ["", f"group {group.get('name')}: {usable} of {len(devices)} devices in service{queued}"]
        why = reasons(group)
        made += table.lines(_COLUMNS, [_row(device, why[device["name"]]) for device in devices], indent="  ")
    return made


def workers(found: dict[str, Any]) -> str:
    """How many of its processes run, where it has several; which do not."""
    known = found.get("workers") or ()
    if not known:
        return ""
    missing = [str(worker.get("number")) for worker in known if not worker.get("up")]
    which = f" (not running: {', '.join(missing)})" if missing else ""
    return f", {len(known) - len(missing)} of {len(known)} workers{which}"


def _row(device: dict[str, Any], why: str) -> tuple[str, ...]:
    latency = device.get("latency_ms") or {}
    return (
        plain(device.get("name")), plain(device.get("role")), plain(device.get("will")), plain(device.get("health")),
        "yes" if device.get("in_service") else "no", plain(device.get("outstanding")), plain(device.get("requests")),
        plain(device.get("errors")), milliseconds(latency.get("p50")), milliseconds(latency.get("p99")),
        why or " ",
    )  # fmt: skip
