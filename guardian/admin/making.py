"""Who makes what takes long: metrics' text and the dashboard's frames. In threads, or in processes of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import attrs
import trio

from balancer.snapshot import ProxySnapshot
from guardian import metrics
from guardian.apart import Apart, GoneError
from guardian.metrics.apart import MODULE as RENDERING
from guardian.metrics.apart import Question, read_text
from guardian.packing import encode, packed_snapshot

from .drawing import MODULE as DRAWING
from .drawing import Drawer, Drawn, Sight, packed_sight, read_drawn

Render = Callable[[ProxySnapshot, str, str], Awaitable[metrics.Text]]
Draw = Callable[[Sight], Awaitable[Drawn]]
RENDERING_PATIENCE: Final = 10.0  # seconds of one text, and of the start of who makes it
DRAWING_PATIENCE: Final = 5.0


@attrs.frozen(kw_only=True)
class Making:
    """Each is for one at a time, and raises whatever its work raises."""

    render: Render  # a snapshot's text, for the proxy's version and an `Accept`
    draw: Draw


def in_threads() -> Making:
    """Where nothing else waits for the interpreter, or no process can be had."""
    return Making(render=_render_here, draw=_DrawnHere().draw)


@asynccontextmanager
async def in_processes() -> AsyncIterator[Making]:
    """Started by the first who looks. Where a process cannot be had, a thread does its work, and the log says so."""
    async with Apart(RENDERING, RENDERING_PATIENCE) as rendering, Apart(DRAWING, DRAWING_PATIENCE) as drawing:
        yield Making(render=rendered_by(rendering), draw=DrawnBy(drawing).draw)


def rendered_by(apart: Apart) -> Render:
    async def render(snapshot: ProxySnapshot, version: str, accept: str) -> metrics.Text:
        def question() -> bytes:
            packed = packed_snapshot(snapshot, unhurried=True)
            own = metrics.own_figures()
            return encode(Question(version=version, accept=accept, snapshot=packed, own=own))

        try:
            return read_text(await apart.ask(await trio.to_thread.run_sync(question)))
        except GoneError:
            return await _render_here(snapshot, version, accept)

    return render


class DrawnBy:
    """Events are many and seldom new: the process gets those that the frame will have."""

    def __init__(self, apart: Apart) -> None:
        self._apart = apart
        self._here = _DrawnHere()  # while the process cannot be had

    async def draw(self, sight: Sight) -> Drawn:
        anew = sight.anew or not self._apart.knows
        events = [event for event in sight.events if anew or sight.whole or event.number > sight.fresh]
        asked = attrs.evolve(sight, anew=anew, events=tuple(events))
        try:
            return read_drawn(await self._apart.ask(await trio.to_thread.run_sync(packed_sight, asked)))
        except GoneError:
            return await self._here.draw(sight)


async def _render_here(snapshot: ProxySnapshot, version: str, accept: str) -> metrics.Text:
    return await trio.to_thread.run_sync(lambda: metrics.compressed(snapshot, version, accept, metrics.own_figures()))


class _DrawnHere:
    def __init__(self) -> None:
        self._drawer = Drawer()
        self._threads = trio.CapacityLimiter(1)

    async def draw(self, sight: Sight) -> Drawn:
        return await trio.to_thread.run_sync(self._drawer.draw, sight, limiter=self._threads)
