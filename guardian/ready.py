"""A configuration made ready to run: every file read, every TLS context made. What fails, fails here."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from balancer.transport.tls import ServerSide, server_side
from config.catalogue import Catalogue
from config.expiry import expiries
from config.model import Config

from .admin.keys import Keys, read_keys
from .audit.settings import AuditReady, audit_ready
from .contact import Contact, contact


@attrs.frozen(kw_only=True, eq=False)
class Ready:
    config: Config
    catalogue: Catalogue
    contacts: Mapping[str, Mapping[str, Contact]]  # by group and device
    sides: Mapping[str, ServerSide | None]  # by listener; None: clear
    audit: AuditReady
    certificates: Mapping[str, float]  # file -> when it, or its CRL, ends, Unix time
    keys: Keys  # of the admin port


def make_ready(config: Config, catalogue: Catalogue) -> Ready:
    """Blocks while it reads; may run in a thread. Raises `CredentialError` or OSError."""
    return Ready(
        config=config,
        catalogue=catalogue,
        contacts={group.name: {device.name: contact(device) for device in group.devices} for group in config.groups},
        sides={listener.name: server_side(listener.tls) for listener in config.listeners},
        audit=audit_ready(config.audit),
        certificates=_expiries(config),
        keys=read_keys(config.admin),
    )


def _expiries(config: Config) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for listener in config.listeners:
        found.update(expiries(listener.tls))
    for group in config.groups:
        for device in group.devices:
            found.update(expiries(device.tls))
    if config.admin.tls is not None:
        found.update(expiries(config.admin.tls))
    if config.audit.syslog is not None:
        found.update(expiries(config.audit.syslog.tls))
    return found
