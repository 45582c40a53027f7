"""A session's connections to one device, and what it knows of each. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .device import Device
    from .exchange import Exchange
    from .upstream import Upstream


class Standing:
    """What a session knows of one of its connections."""

    __slots__ = ("again", "began", "replaying", "requests", "used")

    def __init__(self, now: float) -> None:
        self.began = now  # when the login was accepted there
        self.used = now
        self.requests = 0  # answered since then
        self.replaying = False
        self.again: deque[Exchange] = deque()  # to be sent once the login was repeated


class Lane:
    """A session's connections to one device."""

    __slots__ = ("bound", "device", "free", "opening", "upstreams")

    def __init__(self, device: Device) -> None:
        self.device = device
        self.upstreams: dict[Upstream, Standing] = {}
        self.free: deque[Upstream] = deque()  # those that are logged in and have room
        self.opening = 0  # connections that were asked for
        self.bound: deque[Exchange] = deque()  # for this device and no other
