"""Whether the reactor moves. Compiled with the data path: an interpreted class cannot be a compiled one's handler."""

from __future__ import annotations

import socket

from balancer.transport.handler import LinkHandler
from balancer.transport.link import Link
from balancer.transport.reactor import Reactor


class Pulse(LinkHandler):
    """A byte that goes through the reactor like those of clients."""

    def __init__(self, reactor: Reactor) -> None:
        ours, self._far = socket.socketpair()
        ours.setblocking(False)
        self._far.setblocking(False)
        self._reactor = reactor
        self._on_its_way = False
        self._link = Link(reactor, ours, self)

    def beat(self) -> None:
        if not self._on_its_way:
            self._on_its_way = True
            self._far.send(b".")

    def felt(self) -> bool:
        """Whether the last beat came through."""
        return not self._on_its_way

    def received(self, data: bytes, now: float) -> None:
        self._on_its_way = False

    def lost(self, reason: str) -> None:
        """Both ends are ours."""

    def sent_all(self) -> None:
        """It sends nothing."""

    def close(self) -> None:
        self._link.close()
        self._far.close()
