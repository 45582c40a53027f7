"""How a device is connected: its context and the check of its certificate, from one reading of its files."""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable
from socket import socket

import attrs

from balancer.transport.dial import dial
from balancer.transport.tls import device_side
from config import model


@attrs.frozen
class Contact:
    """``connect()`` gives a handshaken socket or raises DialError.

    ``recheck(socket)`` raises ValueError where an open connection no longer passes.
    """

    connect: Callable[[], Awaitable[socket]]
    recheck: Callable[[socket], None]


def contact(device: model.Device) -> Contact:
    """Raises `CredentialError`."""
    address, timeout = device.address, device.connect_timeout
    side = device_side(device.tls, address.host)

    def check(sock: socket) -> None:
        if side is None:
            return
        if not isinstance(sock, ssl.SSLSocket):
            raise ValueError("it is a connection without TLS")  # noqa: TRY004 - of the connection, not of the code
        side.check(sock, time.time())

    async def connect() -> socket:
        return await dial(address.host, address.port, side.context if side else None, timeout, check)

    return Contact(connect, check)
