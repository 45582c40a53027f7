"""Connect and shake hands as trio tasks; what comes out is a non-blocking socket ready for the reactor."""

from __future__ import annotations

import os
import socket
import ssl
import traceback
from collections.abc import Callable

import trio

_KEEPALIVE_IDLE = 30  # seconds without traffic before the kernel asks whether the peer is there
_UNACKNOWLEDGED = 15_000  # milliseconds that sent bytes may stay unacknowledged: a cable that was pulled


class DialError(Exception):
    """No connection.

    ``refused``: the host answered that nobody listens there. ``stranger``: somebody answered, but not with the
    certificate that the device should have.
    """

    def __init__(self, reason: str, *, refused: bool = False, stranger: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused
        self.stranger = stranger


def prepare(sock: socket.socket) -> None:
    """Set what every connection of ours wants: no delay of small messages, and notice of a peer that vanished."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED)


def wrapped(context: ssl.SSLContext, sock: socket.socket, *, server_name: str | None = None) -> ssl.SSLSocket:
    """TLS on a connected socket, as a client where there is a ``server_name``; nothing is sent yet. Raises OSError.

    Where the peer has reset the connection meanwhile, Python (3.11 to 3.13) forgets the socket that it made of ours,
    which stays open until somebody collects it: it is closed here.
    """
    try:
        if server_name is None:
            return context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return context.wrap_socket(sock, server_hostname=server_name, do_handshake_on_connect=False)
    except OSError as exc:
        for frame, _ in traceback.walk_tb(exc.__traceback__):
            made = frame.f_locals.get("self")
            if isinstance(made, ssl.SSLSocket):
                made.close()
        raise


async def handshake(sock: ssl.SSLSocket) -> None:
    """Complete the TLS handshake of a non-blocking socket. Raises OSError (ssl.SSLError is one).

    The socket's own `do_handshake` also sends the alert when it refuses the peer. Cancelling leaves the socket to its
    owner, who closes it.
    """
    while True:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(sock)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(sock)
        else:
            return


async def dial(
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    timeout: float,
    verify: Callable[[socket.socket], None] | None = None,
) -> socket.socket:
    """Connect to a device within ``timeout`` seconds, TLS included where there is a context.

    ``verify`` checks the peer's certificate after the handshake and raises ValueError with the reason. Raises
    `DialError`; a socket that was opened is closed on every path but success.
    """
    error = DialError("the name has no address")
    with trio.move_on_after(timeout) as scope:
        try:
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise DialError(f"the name cannot be resolved: {getattr(exc, 'strerror', None) or exc}") from exc
        for family, kind, protocol, _, address in found:
            try:
                sock = socket.socket(family, kind, protocol)
                return await _connect(sock, address, host, context, verify)
            except (OSError, ValueError) as exc:
                error = DialError(
                    _reason(exc),
                    refused=isinstance(exc, ConnectionRefusedError),
                    stranger=isinstance(exc, (ValueError, ssl.SSLCertVerificationError)),
                )
    if scope.cancelled_caught:
        error = DialError(f"no connection within {timeout:g} s")
    raise error


async def _connect(
    sock: socket.socket,
    address: tuple[object, ...],
    host: str,
    context: ssl.SSLContext | None,
    verify: Callable[[socket.socket], None] | None,
) -> socket.socket:
    """Connect one socket; it is closed unless it is returned."""
    try:
        prepare(sock)
        await trio.socket.from_stdlib_socket(sock).connect(address)
        if context is None:
            return sock
        tls = wrapped(context, sock, server_name=host)
        sock = tls
        await handshake(tls)
        if verify is not None:
            verify(tls)
    except BaseException:
        sock.close()
        raise
    return tls


def _reason(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"TLS: the device's certificate is not accepted: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError):
        return f"TLS: {(exc.reason or 'handshake failed').lower().replace('_', ' ')}"
    if isinstance(exc, OSError):  # trio puts the address into its text, which whoever tells it has already
        return (os.strerror(exc.errno) if exc.errno else exc.strerror or type(exc).__name__).lower()
    return str(exc)
