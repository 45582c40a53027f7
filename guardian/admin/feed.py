"""`GET /feed`: the state over a WebSocket, five times a second, made once for all, and only while somebody watches.

There is no task of the feed's own. Whoever wants the next frame first makes it when it is due, and the others get the
same. A viewer that is slow to take one asks late, gets the newest or the next whole, and holds nobody up.
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

from .drawing import Drawn, Sight
from .frame import About
from .making import Draw
from .message import Request, Role
from .route import Route

EVERY: Final = 0.2  # seconds from one frame to the next
_REST: Final = 3.0  # times as long as making a frame took, at least: where that is slow, frames come less often
_SPREAD: Final = 0.15  # seconds over which one frame goes out to many: else requests would wait for all of them at once
_GOLDEN: Final = 0.618  # of the way round, from one viewer to the next: however many there are, they lie apart
_EVENTS: Final = 200  # that a viewer who comes now is told of


class Feed:
    def __init__(self, proxy: Operable, version: str, draw: Draw) -> None:
        self._proxy = proxy
        self._about = About(version=version, data_path=data_path())
        self._draw = draw
        self._turn = trio.Lock()
        self._viewers = self._come = 0  # those who watch; and who came since nobody did
        self._number = 0
        self._due = 0.0
        self._told = 0  # number of the last event in a frame
        self._drawn: Drawn | None = None  # the newest frame, while somebody watches
        self._whole_wanted = False

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
                await socket.send_message(msgspec.json.encode({"hello": hello}).decode())
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
        while True:
            text = self._text_after(number)
            if text is not None:
                return self._number, text
            if number != self._number:
                self._whole_wanted = True
            async with self._turn:
                if self._text_after(number) is None:
                    await trio.sleep_until(self._due)
                    await self._make()

    def _text_after(self, number: int) -> str | None:
        if self._drawn is None or self._number <= number:
            return None
        return self._drawn.change if 0 < number == self._number - 1 and self._drawn.change else self._drawn.whole

    async def _make(self) -> None:
        """The snapshot is taken on the loop, and nothing else done there."""
        began = trio.current_time()
        events = tuple(self._proxy.events.since(0))[-_EVENTS:]
        whole, self._whole_wanted = self._whole_wanted, False
        self._drawn = await self._draw(
            Sight(
                about=self._about,
                before=self._number,
                anew=self._drawn is None,
                whole=whole,
                at=began,
                wall=time.time(),
                snapshot=self._proxy.snapshot(),
                events=events,
                fresh=self._told,
            )
        )
        self._number += 1
        self._told = events[-1].number if events else 0
        now = trio.current_time()
        self._due = max(began + EVERY, now + _REST * (now - began))

    def _forget(self) -> None:
        """Nobody watches: what is remembered would be old when somebody does."""
        self._drawn = None


async def _until_it_leaves(socket: WebSocketConnection, scope: trio.CancelScope) -> None:
    """A viewer has nothing to say; reading notices that it is gone."""
    with suppress(ConnectionClosed):
        while True:
            await socket.get_message()
    scope.cancel()
