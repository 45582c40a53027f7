"""How much a device can do: how long a request takes, how many at once, how many a second."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import attrs
import trio

from .latency import NO_TIME, Latency


@attrs.define(eq=False)
class Workload:
    latency: Latency = NO_TIME
    capacity: int | None = None  # requests worked on at once, over all connections
    rate: float | None = None  # requests per second; more than that wait
    random: Random = attrs.field(factory=Random)
    _room: trio.Semaphore | None = attrs.field(default=None, init=False)
    _next: float = attrs.field(default=0.0, init=False)  # when the rate permits the next request
    _started: float = attrs.field(factory=time.monotonic, init=False)

    def __attrs_post_init__(self) -> None:
        self._room = trio.Semaphore(self.capacity) if self.capacity is not None else None

    @property
    def none(self) -> bool:
        """Whether every request takes no time at all. What takes no time needs no capacity."""
        return self.rate is None and self.latency == NO_TIME

    def restart(self) -> None:
        self._started = time.monotonic()

    @asynccontextmanager
    async def turn(self, code: str) -> AsyncIterator[None]:
        """Wait for room and for the rate, then for as long as the work takes; the body ends the work."""
        if self.rate is not None:
            now = time.monotonic()
            self._next = max(now, self._next + 1 / self.rate)
            await trio.sleep(self._next - now)
        if self._room is None:
            await self._work(code)
            yield
            return
        async with self._room:
            await self._work(code)
            yield

    async def _work(self, code: str) -> None:
        seconds = self.latency.draw(code, time.monotonic() - self._started, self.random)
        if seconds > 0:
            await trio.sleep(seconds)
