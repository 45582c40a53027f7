"""Entries of what is shown to operators, made from snapshots and views. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from balancer.snapshot import ProxySnapshot
    from config.model import Config

    from .connected import ClientView, SessionView


def client_facts(client: ClientView) -> dict[str, object]:
    """One entry of `/clients`."""
    return {**client._asdict(), "since": time_text(client.since)}


def session_facts(session: SessionView) -> dict[str, object]:
    """One entry of `/sessions`."""
    return {**session._asdict(), "since": time_text(session.since)}


def commands(snapshot: ProxySnapshot, group: str | None = None) -> list[dict[str, object]]:
    """The entries of `/commands`, the slowest first: of that group, or of all."""
    found = []
    for in_group in snapshot.groups:
        if group not in (None, in_group.name):
            continue
        for command in in_group.commands:
            requests = sum(command.outcomes.values())
            found.append(
                {
                    "group": in_group.name,
                    "command": command.command,
                    "requests": requests,
                    "outcomes": {outcome: count for outcome, count in command.outcomes.items() if count},
                    "refused": requests - command.outcomes.get("ok", 0) - command.outcomes.get("device_error", 0),
                    "latency_ms": {
                        "p50": milliseconds(command.duration.quantile(0.50)),
                        "p99": milliseconds(command.duration.quantile(0.99)),
                    },
                }
            )
    return sorted(found, key=_slowness)


def _slowness(entry: dict[str, Any]) -> tuple[float, int]:
    return -(entry["latency_ms"]["p99"] or 0.0), -entry["requests"]


def certificates(ends: Mapping[str, float], config: Config) -> list[dict[str, object]]:
    """The entries of `/certificates`, the next to end first. ``ends``: file -> Unix time."""
    users: dict[str, list[str]] = {}
    for user, path in _files(config):
        known = users.setdefault(str(path), [])
        if user not in known:
            known.append(user)
    return [
        {"file": file, "expires": time_text(end), "used_by": users.get(file, [])}
        for file, end in sorted(ends.items(), key=lambda item: item[1])
    ]


def _files(config: Config) -> Iterator[tuple[str, Path]]:
    for listener in config.listeners:
        yield from ((f"listener {listener.name}", path) for path in _paths(listener.tls))
    for group in config.groups:
        ours = set(_paths(group.tls))
        for device in group.devices:
            for path in _paths(device.tls):
                yield f"group {group.name}" if path in ours else f"device {group.name}/{device.name}", path
    if config.admin.tls is not None:
        yield from (("admin", path) for path in _paths(config.admin.tls))


def _paths(tls: Any) -> Iterator[Path]:
    for field in attrs.fields(type(tls)):
        value = getattr(tls, field.name)
        yield from (each for each in (value if isinstance(value, tuple) else (value,)) if isinstance(each, Path))


def time_text(unix: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
