"""A listening socket that can go and come back on the same port."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

import attrs
import trio

_BACKLOG: Final = 1024
_NO_DESCRIPTORS: Final = 0.05  # seconds until the next try


@attrs.define(eq=False)
class Listening:
    """Give port 0 and the kernel chooses; the port stays ours while nobody listens, until `end`.

    A second socket, bound and never listening, holds it: others cannot bind it, and who connects is refused.
    """

    address: tuple[str, int]
    _family: socket.AddressFamily = attrs.field(init=False)
    _holder: socket.socket | None = attrs.field(default=None, init=False)
    _socket: socket.socket | None = attrs.field(default=None, init=False)
    _opened: trio.Event = attrs.field(factory=trio.Event, init=False)

    def open(self) -> None:
        """Listen, if we do not. Raises OSError."""
        if self._socket is not None:
            return
        self._family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        if self._holder is None:
            self._holder = self._bound()
            self.address = self._holder.getsockname()[:2]
        self._socket = self._bound()
        self._socket.listen(_BACKLOG)
        self._opened.set()

    def close(self) -> None:
        """Stop listening and keep the port. Connections that nobody has accepted are reset."""
        if self._socket is not None:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            self._socket = None
            self._opened = trio.Event()

    def end(self) -> None:
        self.close()
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    async def accept(self) -> list[socket.socket]:
        """Wait for connections; they come non-blocking. While nobody listens this waits for `open`."""
        while True:
            await self._opened.wait()
            listener = self._socket
            if listener is None:
                continue
            with suppress(trio.ClosedResourceError):
                await trio.lowlevel.wait_readable(listener)
                if accepted := await self._accept_all(listener):
                    return accepted

    async def _accept_all(self, listener: socket.socket) -> list[socket.socket]:
        accepted: list[socket.socket] = []
        while listener is self._socket and len(accepted) < _BACKLOG:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                break
            except OSError:  # no descriptors left, or the client has gone already
                if not accepted:
                    await trio.sleep(_NO_DESCRIPTORS)
                break
            sock.setblocking(False)
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted.append(sock)
        return accepted

    def _bound(self) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind(self.address)
        except OSError:
            sock.close()
            raise
        return sock
