"""A connection that was accepted and shakes hands, in the reactor: a task for each costs more than all else of it."""

from __future__ import annotations

import select
import ssl
from typing import Final, Protocol

from balancer.transport.pollable import Pollable
from balancer.transport.reactor import Reactor
from balancer.transport.tls import ServerSide

_READ: Final[int] = select.EPOLLIN
_WRITE: Final[int] = select.EPOLLOUT


class Host(Protocol):
    """The listener. Each connection has one end: `shaken`, `unshaken` or `late`; none where the host closed it."""

    def shaken(self, arrival: Arrival) -> None:
        """The handshake is done, the peer not checked yet; the socket is the host's now, and not registered."""

    def unshaken(self, arrival: Arrival, exc: Exception) -> None:
        """The handshake failed; the socket is closed."""

    def late(self, arrival: Arrival) -> None:
        """It was given up; the socket is closed."""


class Arrival(Pollable):
    """Registered from construction to its end. Raises OSError where it cannot be: the socket is still the caller's.

    ``tls`` is what the connection was begun with: its context's own policy must judge it.
    """

    __slots__ = ("_events", "_fd", "_host", "_open", "_reactor", "_step", "address", "socket", "tls")

    def __init__(self, reactor: Reactor, sock: ssl.SSLSocket, address: str, tls: ServerSide, host: Host) -> None:
        self.socket = sock
        self.address = address
        self.tls = tls
        self._host = host
        self._reactor = reactor
        self._fd = sock.fileno()
        # Without Python's layer around OpenSSL, which asks the kernel for the peer and sets blocking twice each time.
        inner = getattr(sock, "_sslobj", None)
        self._step = sock.do_handshake if inner is None else inner.do_handshake
        self._events = _READ
        self._open = True
        reactor.register(self, self._fd, _READ)

    def pull(self) -> None:
        self.on_event(_READ)

    def on_event(self, events: int) -> None:
        if not self._reactor.may_toil():
            return  # epoll tells it again
        try:
            self._step()  # also sends the alert when it refuses the peer
        except ssl.SSLWantReadError:
            self._want(_READ)
        except ssl.SSLWantWriteError:
            self._want(_WRITE)
        except OSError as exc:  # ssl.SSLError is one
            self._fail(exc)
        else:
            self._open = False
            self._reactor.unregister(self._fd)
            self._host.shaken(self)

    def lose(self, reason: str) -> None:
        if self._open:
            self._fail(RuntimeError(reason))

    def give_up(self) -> None:
        """Its place is another's, or its time is over."""
        if self._open:
            self.close()
            self._host.late(self)

    def close(self) -> None:
        """Now; the host is not told."""
        if self._open:
            self._open = False
            try:
                self._reactor.unregister(self._fd)
            finally:
                self.socket.close()

    def _fail(self, exc: Exception) -> None:
        self.close()
        self._host.unshaken(self, exc)

    def _want(self, events: int) -> None:
        if events != self._events:
            self._events = events
            self._reactor.modify(self._fd, events)
