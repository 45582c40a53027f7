"""Connections that have not finished their handshake: bounded in number, the oldest makes room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Handshakes:
    """One address may hold half of the places, so that it cannot shut the others out for long.

    The oldest goes rather than the newest being refused: an honest client is done in milliseconds, and whoever sits
    on a place without talking is the oldest.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: dict[trio.CancelScope, str] = {}  # in the order of their coming
        self._counts: dict[str, int] = {}
        self.crowded_out = 0

    def __len__(self) -> int:
        return len(self._open)

    def make_room(self) -> bool:
        """End the oldest; False where there is none."""
        for scope in self._open:
            self._end(scope)
            return True
        return False

    @contextmanager
    def entered(self, address: str, timeout: float) -> Iterator[trio.CancelScope]:
        """Hold a place for as long as the block runs, ``timeout`` seconds at most."""
        if self._counts.get(address, 0) >= max(self.most // 2, 1):
            self._end(next(scope for scope, held_by in self._open.items() if held_by == address))
        elif len(self._open) >= self.most:
            self.make_room()
        with trio.move_on_after(timeout) as scope:
            self._open[scope] = address
            self._counts[address] = self._counts.get(address, 0) + 1
            try:
                yield scope
            finally:
                self._forget(scope)

    def _end(self, scope: trio.CancelScope) -> None:
        self.crowded_out += 1
        self._forget(scope)
        scope.cancel()

    def _forget(self, scope: trio.CancelScope) -> None:
        address = self._open.pop(scope, None)
        if address is not None:
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]
