"""Who is connected to the admin port, and who has to go when it is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from .message import Request

CONNECTIONS: Final = 128
LASTING: Final = 64  # of them, streams and WebSockets: the others stay free for scrapes, probes and operators


class Room:
    """``waiting`` holds, oldest first, the connections that wait for their client: these may be made to leave."""

    def __init__(self) -> None:
        self._waiting: dict[trio.CancelScope, None] = {}
        self._lasting: dict[trio.CancelScope, Request] = {}
        self.open = 0  # connections, raised and lowered by the server alone

    @property
    def full_of_lasting(self) -> bool:
        return len(self._lasting) >= LASTING

    @property
    def lasting(self) -> tuple[tuple[trio.CancelScope, Request], ...]:
        """Streams and WebSockets, and the request that each began with."""
        return tuple(self._lasting.items())

    def make(self) -> bool:
        """Whether one more may come; for that the one goes that has waited longest for its client."""
        if self.open < CONNECTIONS:
            return True
        for scope in self._waiting:
            del self._waiting[scope]
            scope.cancel()
            return True
        return False

    @contextmanager
    def waiting(self, seconds: float) -> Iterator[trio.CancelScope]:
        """A wait for the client, so long at most; whoever needs the room may cancel it, which ends the connection."""
        with trio.CancelScope(deadline=trio.current_time() + seconds) as scope:
            self._waiting[scope] = None
            try:
                yield scope
            finally:
                self._waiting.pop(scope, None)

    @contextmanager
    def stay(self, request: Request) -> Iterator[trio.CancelScope]:
        """A stream or a WebSocket; ask `full_of_lasting` before."""
        with trio.CancelScope() as scope:
            self._lasting[scope] = request
            try:
                yield scope
            finally:
                del self._lasting[scope]
