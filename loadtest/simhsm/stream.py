"""One accepted socket, with or without TLS, without a layer of its own between it and trio.

A non-blocking `SSLSocket` and trio's waits cost half of what `trio.SSLStream` does per message.
"""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from typing import Final

import attrs
import trio

from balancer.transport.dial import wrapped

_READ: Final = 65_536
_AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close sends RST


class Gone(Exception):  # noqa: N818 (says what happened)
    """The connection is no more; nothing further can be sent or read."""


@attrs.define(eq=False)
class Stream:
    """Used by one task at a time, but for `send_nowait`, `abort` and `close`, which anybody may call."""

    _sock: socket.socket | ssl.SSLSocket
    _unsent: bytearray = attrs.field(factory=bytearray, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    @property
    def closed(self) -> bool:
        return self._closed

    async def secure(self, context: ssl.SSLContext) -> object:
        """Do the TLS handshake as a server; gives what `getpeercert` gives. Raises Gone."""
        try:
            sock = wrapped(context, self._sock)
        except (OSError, ValueError) as exc:
            raise Gone from exc
        self._sock = sock
        while True:
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                await self._readable()
            except ssl.SSLWantWriteError:
                await self._writable()
            except (OSError, ValueError) as exc:
                raise Gone from exc
            else:
                return sock.getpeercert()

    async def receive(self) -> bytes:
        """What came, at most 64 KiB; empty at the end of the connection. Raises Gone when it was no orderly end."""
        sock = self._sock
        if not (isinstance(sock, ssl.SSLSocket) and sock.pending()):
            await self._readable()  # a read at once would nearly always be in vain
        while True:
            try:
                return sock.recv(_READ)
            except (BlockingIOError, ssl.SSLWantReadError):
                await self._readable()
            except ssl.SSLWantWriteError:
                await self._writable()
            except (OSError, ValueError) as exc:
                raise Gone from exc

    async def send(self, data: bytes) -> None:
        """Send all of it after whatever is unsent. Raises Gone."""
        self.send_nowait(data)
        while self._unsent:
            await self._writable()
            self._flush()

    def send_nowait(self, data: bytes) -> None:
        """Send what the socket takes; the rest leaves before anything else is sent. Raises Gone."""
        self._unsent += data
        self._flush()

    def abort(self) -> None:
        """End with RST."""
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._close()

    def close(self) -> None:
        """End in order, with the TLS closing message where there is TLS."""
        if not self._closed and isinstance(self._sock, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                self._sock.unwrap()  # sends ours and, being non-blocking, does not wait for theirs
        self._close()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except (OSError, ValueError) as exc:
            raise Gone from exc

    async def _readable(self) -> None:
        try:
            await trio.lowlevel.wait_readable(self._sock)
        except (trio.ClosedResourceError, ValueError) as exc:
            raise Gone from exc

    async def _writable(self) -> None:
        try:
            await trio.lowlevel.wait_writable(self._sock)
        except (trio.ClosedResourceError, ValueError) as exc:
            raise Gone from exc
