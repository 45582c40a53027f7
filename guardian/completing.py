"""What a shell may offer beside names of commands and options: devices and groups of the proxy that runs.

A shell that completes must not wait, and has no place for an error: what cannot be had quickly is not offered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from .remote import ADMIN, Remote, remote_for

_PATIENCE: Final = 0.5  # seconds


def device_names(given: Mapping[str, Any], incomplete: str) -> list[CompletionItem]:
    """`GROUP/DEVICE` with what is known of each; ``given``: the options so far."""
    return [
        CompletionItem(name, help=f"{device['role']}, {device['will']}, {device['health']}")
        for group in _groups(given)
        for device in group["devices"]
        if (name := f"{group['name']}/{device['name']}").startswith(incomplete)
    ]


def group_names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For ``shell_complete`` of an option."""
    return [CompletionItem(group["name"]) for group in _groups(ctx.params) if str(group["name"]).startswith(incomplete)]


def _groups(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        admin = given.get("admin") or ADMIN
        remote: Remote = remote_for(
            admin,
            # Nobody who presses TAB means to show a token to whoever may have taken that port.
            None if admin.lower().startswith("http:") else given.get("token_file"),
            given.get("ca"),
            given.get("certificate"),
            given.get("key"),
            timeout=_PATIENCE,
        )
        found: list[dict[str, Any]] = remote.status()["groups"]
    except Exception:  # noqa: BLE001 (whatever it is, a shell cannot show it)
        return []
    return found
