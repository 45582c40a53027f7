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
    """its name in logs, metrics and commands"""
    address: Bind
    """where it is"""
    role: Role = Role.PRODUCTION
    """the primary and production devices serve; a backup serves while one of them is lost"""
    weight: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    """its share of the work, against the others'"""
    connections: Count = 8
    """shared connections; somewhat more than the requests that the device works on at once"""
    pipeline: Count = 1
    """requests outstanding on one connection; more than 1 only where the device is known to allow it"""
    outstanding: Count = 32
    """requests outstanding on the device"""
    rate: Rate | None = None
    """its licensed rate: requests and pings that it is sent at most; what comes on top goes to other devices, or waits

    """
    private: Annotated[int, Meta(ge=0)] = 256
    """connections of clients that have one of their own"""
    balancing: bool = True
    """whether it gets requests at all"""
    ping_timeout: Seconds | None = None
    """by default that of the group; at most `interval`"""
    framing: Framing | None = None
    """by default that of the group"""
    connect_timeout: Seconds = 3.0
    """for TCP and TLS together"""
    serial: str | None = None
    """the serial number it must show; `identity.pin` says where"""
    tls: DeviceTls = DeviceTls()
    """overrides that of the group, key by key"""
