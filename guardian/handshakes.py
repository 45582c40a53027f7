"""Connections that have not finished their handshake: bounded in number and time, the oldest makes room."""

from __future__ import annotations

from typing import Final, Protocol

import attrs
import trio

_CROWD: Final = 64  # handshakes at once: about 45 KiB each, which the heap would keep
_LULL: Final = 0.25  # seconds


class Shaking(Protocol):
    """A connection that shakes hands."""

    def give_up(self) -> None:
        """It was not done in time, or must make room for another. Called once, when its place is free already."""

    def close(self) -> None:
        """At once, without a word."""


@attrs.frozen
class _Place:
    address: str
    deadline: float


class Handshakes:
    """One address may hold half of the places, so that it cannot shut the others out for long.

    The oldest goes rather than the newest being refused: an honest client is done in milliseconds, and whoever sits
    on a place without talking is the oldest.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: dict[Shaking, _Place] = {}  # in the order of their coming
        self._counts: dict[str, int] = {}
        self.crowded_out = 0
        self._crowded_out_then = 0
        self._fewer = trio.Event()  # that there is no crowd any more
        self._none = trio.Event()

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

    async def over(self) -> None:
        """Wait until nobody shakes hands."""
        if self._open:
            self._none = trio.Event()
            await self._none.wait()

    def make_room(self) -> bool:
        """End the oldest; False where there is none."""
        for one in self._open:
            self._end(one)
            return True
        return False

    def enter(self, one: Shaking, address: str, deadline: float) -> None:
        """It takes a place until it has `left`, or ``deadline`` has passed on the clock of `expire`."""
        if self._counts.get(address, 0) >= max(self.most // 2, 1):
            self._end(next(held for held, place in self._open.items() if place.address == address))
        elif len(self._open) >= self.most:
            self.make_room()
        self._open[one] = _Place(address, deadline)
        self._counts[address] = self._counts.get(address, 0) + 1

    def left(self, one: Shaking) -> None:
        """It is done, well or badly; nothing where it has no place any more."""
        place = self._open.pop(one, None)
        if place is None:
            return
        self._counts[place.address] -= 1
        if not self._counts[place.address]:
            del self._counts[place.address]
        if len(self._open) < _CROWD:
            self._fewer.set()
            if not self._open:
                self._none.set()

    def expire(self, now: float) -> None:
        """End those that took too long."""
        for one in [one for one, place in self._open.items() if now >= place.deadline]:
            self.left(one)
            one.give_up()

    def leave_all(self) -> list[Shaking]:
        """Take everybody out without ending anybody."""
        everybody = list(self._open)
        for one in everybody:
            self.left(one)
        return everybody

    def _end(self, one: Shaking) -> None:
        self.crowded_out += 1
        self.left(one)
        one.give_up()
