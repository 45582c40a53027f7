"""One device."""

from __future__ import annotations

import enum
from typing import Annotated

import attrs
from msgspec import Meta

from .listener import Framing
from .tls import DeviceTls
from .values import Bind, Count, Name, Rate, Seconds


class Role(enum.Enum):
    """A device's place in its group, as on a Guardian Series 3."""

    PRIMARY = "primary"  # the first device; its settings replicate to the others; serves like production
    PRODUCTION = "production"
    BACKUP = "backup"  # serves only while a production device is out of service


@attrs.frozen(kw_only=True)
class Device:
    name: Name
    address: Bind
    role: Role = Role.PRODUCTION
    weight: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    connections: Count = 8  # shared connections; must reach what the device does in parallel
    pipeline: Count = 1  # requests outstanding on one connection
    outstanding: Count = 32
    rate: Rate | None = None  # its licence: requests per second that it is sent at most
    private: Annotated[int, Meta(ge=0)] = 256  # connections of pinned clients
    balancing: bool = True
    ping_timeout: Seconds | None = None  # by default the group's
    framing: Framing | None = None  # by default the group's
    connect_timeout: Seconds = 3.0  # TCP and TLS together
    serial: str | None = None  # the serial number that `identity.pin` must find
    tls: DeviceTls = DeviceTls()  # the loader has merged the group's into it
