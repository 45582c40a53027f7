"""The whole file, and what belongs to the process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import attrs
from msgspec import Meta

from .admin import Admin
from .answers import DEFAULT_ERRORS, ErrorText, Refusal
from .audit import Audit
from .group import Group
from .listener import Listener
from .values import Seconds, SecondsOrZero

Workers = Annotated[int, Meta(ge=1, le=64)] | Literal["auto"]


@attrs.frozen(kw_only=True)
class Logs:
    level: Literal["debug", "info", "warning", "error"] = "info"
    """the least that is logged"""
    format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, else JSON"""


@attrs.frozen(kw_only=True)
class Shutdown:
    drain_notice: SecondsOrZero = 0.0
    """`/readyz` says 503 for so long while everything is still served: time for balancers in front to look elsewhere"""
    spread: SecondsOrZero = 0.0
    """then clients that are quiet are closed, at moments spread over so long, and requests still answered; less than
    `timeout`"""
    timeout: Seconds = 30.0
    """for all of it after the notice; what is not done by then is cut off"""


@attrs.frozen(kw_only=True)
class Upgrade:
    ready: Seconds = 60.0
    """how long the new process may take until it serves; else it is ended, and the old one goes on"""
    spread: SecondsOrZero = 60.0
    """the old process closes clients that are quiet at moments spread over so long"""
    timeout: Seconds = 3600.0
    """how long the old process answers clients that stay; then it drains as at SIGTERM"""


@attrs.frozen(kw_only=True)
class Config:
    listeners: tuple[Listener, ...]
    """where clients connect"""
    groups: tuple[Group, ...]
    """the devices behind Guardian"""
    admin: Admin = Admin()
    """status, metrics and operation over HTTP"""
    workers: Workers = 1
    """processes that serve, each on a core of its own; `auto`: as many as Guardian may use cores"""
    catalogue: Path | None = None
    """a file of commands that extends or overrides the shipped catalogue"""
    errors: Mapping[Refusal, ErrorText] = attrs.field(factory=lambda: dict(DEFAULT_ERRORS))
    """what Guardian answers itself"""
    logs: Logs = Logs()
    """what is logged and how"""
    audit: Audit = Audit()
    """what is kept of what happened, and where"""
    shutdown: Shutdown = Shutdown()
    """how Guardian stops"""
    upgrade: Upgrade = Upgrade()
    """how it hands over to a new process"""

    def group(self, name: str) -> Group:
        """The group of that name. Raises KeyError; the loader has seen to it that listeners name real ones."""
        for group in self.groups:
            if group.name == name:
                return group
        raise KeyError(name)
