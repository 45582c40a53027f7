"""Connections that have not finished their handshake: bounded in number, the oldest makes room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

_CROWD = 64  # handshakes at once: about 45 KiB each, which the heap would keep
_LULL = 0.25  # seconds


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
        self._crowded_out_then = 0
        self._fewer = trio.Event()  # that there is no crowd any more

    def __len__(self) -> int:
        return len(self._open)

    async def lull(self) -> None:
        """Wait while a crowd is shaking hands, a moment at most: call it before more are accepted.

        A thousand clients that come at once, as after a switchover, then wait in the kernel, where they cost nothing;
        else the heap swells for good, and those that came last push out those that are nearly done. Where somebody
        was pushed out all the same, the places are held by who does not talk: then there is nothing to wait for.
        """
        flooded = self.crowded_out != self._crowded_out_then
        self._crowded_out_then = self.crowded_out
        if len(self._open) < _CROWD or flooded:
            return
        self._fewer = trio.Event()
        with trio.move_on_after(_LULL):
            await self._fewer.wait()

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
            if len(self._open) < _CROWD:
                self._fewer.set()
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]
