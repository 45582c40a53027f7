"""`guardian device`: what the operator wants of a device, and waiting until it is so."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from guardian import console
from guardian.remote import RefusedError, Remote, admin_options

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_POLL: Final = 0.2  # seconds between two looks at the devices
_QUIET: Final = 1.0  # seconds before it says what is missing
_SELDOM: Final = 10.0  # seconds between two such lines, where it is no terminal
_WITHOUT_PRIMARY: Final = (
    "until it is ready again writes get 902, or with `primary_loss: promote` a production device goes first"
)


def _duration(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    from config.units import parse_duration  # noqa: PLC0415 (a shell that completes need not wait for it)

    try:
        return parse_duration(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


Target = tuple[str, str]  # group, device


def _targets(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[Target, ...]:
    targets = []
    for value in values:
        group, _, device = value.partition("/")
        if not group or not device or "/" in device:
            raise click.BadParameter(f"{value!r} is not GROUP/DEVICE, for instance payments/hsm1")
        targets.append((group, device))
    return tuple(dict.fromkeys(targets))


def _names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from guardian.completing import device_names  # noqa: PLC0415 (only while a shell asks)

    return device_names(ctx.params, incomplete)


@click.group()
def device() -> None:
    """Say what you want of devices: ready, drain or maint."""


def _verb(will: str, text: str) -> None:
    @device.command(will, help=text)
    @click.argument(
        "targets", metavar="GROUP/DEVICE...", callback=_targets, nargs=-1, required=True, shell_complete=_names
    )
    @click.option("--wait", is_flag=True, help="Wait until it is so; exit code 1 when the time is over.")
    @click.option(
        "--timeout", callback=_duration, default="30s", metavar="DURATION", show_default=True, help="How long to wait."
    )
    @admin_options
    def command(remote: Remote, targets: tuple[Target, ...], wait: bool, timeout: float) -> int:
        if len(targets) > 1:  # all of them or none
            found = remote.status()
            for target in targets:
                _find(found, target)
        for target in targets:
            found = remote.set_will(*target, will)
            if will != "ready" and found.get("role") == "primary":
                console.say(f"{'/'.join(target)} is the primary: {_WITHOUT_PRIMARY}", err=True)
        if wait:
            return _wait(remote, targets, will, timeout)
        for target in targets:
            console.say(f"{'/'.join(target)}: {will}")
        return 0


_verb("ready", "Let devices serve. With --wait: until each is in service, or for a backup until it stands by.")
_verb("drain", "Send them no new requests. With --wait: until none is outstanding and no client is pinned to them.")
_verb("maint", "Take them out at once. With --wait: until they have no connections.")


def _wait(remote: Remote, targets: tuple[Target, ...], will: str, timeout: float) -> int:
    """Until it is so for all of them; each is told when it is."""
    began = time.monotonic()
    progress = _Progress(began, timeout)
    waiting = dict.fromkeys(targets, "")
    while True:
        found = remote.status()
        for target in tuple(waiting):
            name = "/".join(target)
            entry = _find(found, target)
            if entry["will"] != will:
                progress.clear()
                console.say(f"{name}: somebody else set it to {entry['will']} meanwhile", err=True)
                return 1
            waiting[target] = outstanding_for(will, entry)
            if not waiting[target]:
                del waiting[target]
                progress.clear()
                console.say(f"{name}: {will}, done")
        if not waiting:
            return 0
        rest = began + timeout - time.monotonic()
        if rest <= 0:
            progress.clear()
            for target, missing in waiting.items():
                console.say(f"{'/'.join(target)}: {will} is set, but after {timeout:g} s {missing}", err=True)
            return 1
        progress.tell("; ".join(f"{'/'.join(target)}: {missing}" for target, missing in waiting.items()))
        time.sleep(min(_POLL, rest))


class _Progress:
    """What is still missing, on stderr: a line that changes on a terminal, else one now and then."""

    def __init__(self, began: float, timeout: float) -> None:
        self._began = began
        self._timeout = timeout
        self._live = sys.stderr is not None and sys.stderr.isatty()
        self._next = began + _QUIET
        self._shown = False

    def tell(self, text: str) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now if self._live else now + _SELDOM
        line = f"{now - self._began:.0f} of {self._timeout:g} s: {text}"
        if self._live:
            width = shutil.get_terminal_size().columns
            click.echo(f"\r{line[: width - 1]}\x1b[K", nl=False, err=True)
            self._shown = True
        else:
            console.say(line, err=True)

    def clear(self) -> None:
        """Before something else is printed."""
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._shown = False


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


def _find(found: dict[str, Any], target: Target) -> dict[str, Any]:
    for group in found["groups"]:
        for entry in group["devices"]:
            if (group["name"], entry["name"]) == target:
                return dict(entry)
    raise RefusedError(f"{'/'.join(target)} is not in the configuration that runs")
