"""`GET /feed`: the state over a WebSocket, five times a second, made once for all, and only while somebody watches.

There is no task of the feed's own. Whoever wants the next frame first makes it when it is due, and the others get the
same. A viewer that is slow to take one asks late, gets the newest, and holds nobody up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from guardian.installation import data_path
from guardian.operable import Operable

from .frame import About, Frame, FrameMaker
from .message import Request, Role
from .route import Route

EVERY: Final = 0.2  # seconds from one frame to the next
_REST: Final = 3.0  # times as long as making a frame took, at least: where that is slow, frames come less often
_SPREAD: Final = 0.15  # seconds over which one frame goes out to many: else requests would wait for all of them at once
_GOLDEN: Final = 0.618  # of the way round, from one viewer to the next: however many there are, they lie apart
_EVENTS: Final = 200  # that a viewer who comes now is told of


class Feed:
    def __init__(self, proxy: Operable, version: str) -> None:
        self._proxy = proxy
        self._about = About(version=version, data_path=data_path())
        self._turn = trio.Lock()
        self._threads = trio.CapacityLimiter(1)
        self._maker: FrameMaker | None = None
        self._viewers = self._come = 0  # those who watch; and who came since nobody did
        self._number = 0
        self._due = 0.0
        self._told = 0  # number of the last event in a frame
        self._frame: Frame | None = None
        self._full: str | None = None  # the same frame as text, once somebody needs it
        self._change = ""

    def routes(self) -> Sequence[Route]:
        return [
            Route(
                method="GET",
                path="/feed",
                role=Role.VIEW,
                summary="The dashboard's frames, five a second: one whole, then what changes",
                talk=self.talk,
            )
        ]

    async def talk(self, request: Request, socket: WebSocketConnection) -> None:
        """Until the viewer leaves."""
        later = self._come * _GOLDEN % 1 * _SPREAD
        self._come += 1
        self._viewers += 1
        try:
            await self._proxy.refresh()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_it_leaves, socket, nursery.cancel_scope)
                hello = {"name": request.actor.name, "role": request.role.name.lower()}
                await socket.send_message(_text({"hello": hello}))
                number = 0
                while True:
                    number, text = await self.after(number)
                    await trio.sleep(later)
                    await socket.send_message(text)
        except* ConnectionClosed:
            pass  # it has left in the middle of a frame
        finally:
            self._viewers -= 1
            if not self._viewers:
                self._come = 0
                self._forget()

    async def after(self, number: int) -> tuple[int, str]:
        """The number and text of the newest frame, once there is one after ``number``: whole, unless ``number`` was
        the one before it.
        """
        if self._frame is None or self._number <= number:
            async with self._turn:
                if self._frame is None or self._number <= number:
                    await trio.sleep_until(self._due)
                    await self._make()
        if number == self._number - 1 and number > 0:
            return self._number, self._change
        if self._full is None:
            async with self._turn:
                if self._full is None and self._frame is not None:
                    self._full = await trio.to_thread.run_sync(_text, self._frame.full, limiter=self._threads)
        assert self._full is not None, "a frame has been made, and is kept while somebody watches"
        return self._number, self._full

    async def _make(self) -> None:
        """The snapshot is taken on the loop, and everything else done in a thread."""
        began = trio.current_time()
        maker = self._maker = self._maker or FrameMaker(self._about, self._number)
        snapshot = self._proxy.snapshot()
        events = list(self._proxy.events.since(0))[-_EVENTS:]
        fresh, self._told = self._told, events[-1].number if events else 0

        def work() -> tuple[Frame, str]:
            frame = maker.make(began, time.time(), snapshot, events, fresh)
            return frame, _text(frame.change)

        frame, self._change = await trio.to_thread.run_sync(work, limiter=self._threads)
        self._frame, self._full, self._number = frame, None, frame.number
        now = trio.current_time()
        self._due = max(began + EVERY, now + _REST * (now - began))

    def _forget(self) -> None:
        """Nobody watches: what is remembered would be old when somebody does."""
        self._maker = self._frame = self._full = None
        self._change = ""


async def _until_it_leaves(socket: WebSocketConnection, scope: trio.CancelScope) -> None:
    """A viewer has nothing to say; reading notices that it is gone."""
    with suppress(ConnectionClosed):
        while True:
            await socket.get_message()
    scope.cancel()


def _text(values: object) -> str:
    return msgspec.json.encode(values).decode()
