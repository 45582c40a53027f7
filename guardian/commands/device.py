"""`guardian device`: what the operator wants of a device, and waiting until it is so."""

from __future__ import annotations

import time
from typing import Any, Final

import click

from config.units import parse_duration
from guardian import console
from guardian.remote import RefusedError, Remote, admin_options

_POLL: Final = 0.2  # seconds between two looks at the device


def _duration(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    try:
        return parse_duration(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


def _target(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, str]:
    group, _, device = value.partition("/")
    if not group or not device or "/" in device:
        raise click.BadParameter(f"{value!r} is not GROUP/DEVICE, for instance payments/hsm1")
    return group, device


@click.group()
def device() -> None:
    """Say what you want of a device: ready, drain or maint."""


def _verb(will: str, text: str) -> None:
    @device.command(will, help=text)
    @click.argument("target", metavar="GROUP/DEVICE", callback=_target)
    @click.option("--wait", is_flag=True, help="Wait until it is so; exit code 1 when the time is over.")
    @click.option(
        "--timeout", callback=_duration, default="30s", metavar="DURATION", show_default=True, help="How long to wait."
    )
    @admin_options
    def command(remote: Remote, target: tuple[str, str], wait: bool, timeout: float) -> int:
        remote.set_will(*target, will)
        if wait:
            return _wait(remote, target, will, timeout)
        console.say(f"{'/'.join(target)}: {will}")
        return 0


_verb("ready", "Let the device serve. With --wait: until it is in service, or for a backup until it stands by.")
_verb("drain", "Send it no new requests. With --wait: until none is outstanding and no client is pinned to it.")
_verb("maint", "Take it out at once. With --wait: until it has no connections.")


def _wait(remote: Remote, target: tuple[str, str], will: str, timeout: float) -> int:
    name = "/".join(target)
    deadline = time.monotonic() + timeout
    while True:
        found = _find(remote.status(), target)
        if found["will"] != will:
            console.say(f"{name}: somebody else set it to {found['will']} meanwhile", err=True)
            return 1
        missing = outstanding_for(will, found)
        if not missing:
            console.say(f"{name}: {will}, done")
            return 0
        rest = deadline - time.monotonic()
        if rest <= 0:
            console.say(f"{name}: {will} is set, but after {timeout:g} s {missing}", err=True)
            return 1
        time.sleep(min(_POLL, rest))


def outstanding_for(will: str, device: dict[str, Any]) -> str:
    """What of the operator's will is not yet so, for people; empty when all of it is.

    `device` is an entry of `/status`.
    """
    if will == "ready":
        # A group with nothing better tries devices that are down as well: these are in service, and yet not ready.
        serves = device["in_service"] and device["health"] in ("up", "probation")
        if serves or (device["role"] == "backup" and device["health"] == "up"):
            return ""
        reason = f" ({device['reason']})" if device.get("reason") else ""
        return f"it is not ready to serve: its health is {device['health']}{reason}"
    if will == "drain":
        counts = {"outstanding": device["outstanding"], "on connections of pinned clients": _pinned(device)}
        left = [f"{count} {what}" for what, count in counts.items() if count]
        return f"there are still {' and '.join(left)}" if left else ""
    return f"there are still {device['connections']} connections to it" if device["connections"] else ""


def _pinned(device: dict[str, Any]) -> int:
    return int(device.get("connections_by_state", {}).get("private", 0))


def _find(found: dict[str, Any], target: tuple[str, str]) -> dict[str, Any]:
    for group in found["groups"]:
        for entry in group["devices"]:
            if (group["name"], entry["name"]) == target:
                return dict(entry)
    raise RefusedError(f"{'/'.join(target)} is not in the configuration any more")
