"""`GET /metrics`: rendered off the loop, once for all who ask at about the same time.

A hundred scrapes a second cost four renderings; where one takes long, fewer, so that they take a twentieth of a core.
Each is compressed once, as Prometheus asks for it: to write hundreds of kilobytes for each scrape costs more than that.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import trio

from balancer.snapshot import ProxySnapshot
from guardian import metrics

from .heads import made_whole
from .making import Render
from .message import Response

FRESH: Final = 0.25  # seconds: who asks so soon after a rendering was begun gets the same
STALE: Final = 1.0  # seconds: and nobody gets an older one, however long renderings take
OLDEST: Final = 2.0  # seconds: while a rendering is made, who asks gets the one before it, unless that is older
_SHARE: Final = 20.0  # times the CPU time of a rendering until the next: a twentieth of a core at most, up to `STALE`
_VARY: Final = {"Vary": "Accept, Accept-Encoding"}
_KINDS: Final = 4  # kept: there are two formats, and what clients make up in `Accept` must not fill the memory


class Exposition:
    """One text for all who ask, as they ask for it."""

    def __init__(self, text: metrics.Text) -> None:
        self.zipped = made_whole(_response(text, text.zipped, {**_VARY, "Content-Encoding": "gzip"}))
        self._text = text
        self._plain: Response | None = None

    async def plain(self) -> Response:
        """Prometheus never asks for it, people do."""
        if self._plain is None:
            body = await trio.to_thread.run_sync(gzip.decompress, self._text.zipped)
            self._plain = _response(self._text, body, _VARY)
        return self._plain


def _response(text: metrics.Text, body: bytes, headers: Mapping[str, str]) -> Response:
    return Response(status=200, content_type=text.kind, body=body, headers=headers)


@attrs.define(eq=False)
class _Rendering:
    begun: float
    fresh: float = FRESH
    done: trio.Event = attrs.field(factory=trio.Event)
    result: Exposition | None = None  # None where it failed
    before: Exposition | None = None  # of the rendering before it
    before_begun: float = 0.0


class Scrapes:
    def __init__(self, snapshot: Callable[[], ProxySnapshot], version: str, render: Render) -> None:
        """``render`` makes the text of a snapshot, for the proxy's version and an `Accept`; one at a time."""
        self._snapshot = snapshot
        self._version = version
        self._render = render
        self._turns = trio.CapacityLimiter(1)
        self._latest: dict[str, _Rendering] = {}

    async def text(self, accept: str) -> Exposition:
        """Raises whatever its rendering raises."""
        kind = metrics.content_type(accept)
        while True:
            rendering = self._latest.get(kind)
            now = trio.current_time()
            if rendering is None or now - rendering.begun >= rendering.fresh:
                former, rendering = rendering, _Rendering(now)
                if former is not None:
                    rendering.before, rendering.before_begun = former.result, former.begun
                self._latest[kind] = rendering
                await self._make(rendering, kind, accept)
            elif rendering.result is None and rendering.before is not None and now - rendering.before_begun < OLDEST:
                return rendering.before  # else all who wait would be answered at one moment
            else:
                await rendering.done.wait()
            if rendering.result is not None:
                return rendering.result  # else who made it left, or failed: it is our turn

    async def _make(self, rendering: _Rendering, kind: str, accept: str) -> None:
        while len(self._latest) > _KINDS:
            del self._latest[next(iter(self._latest))]
        try:
            async with self._turns:
                snapshot = self._snapshot()  # on the loop, and only once it is our turn
                text = await self._render(snapshot, self._version, accept)
                rendering.result = Exposition(text)
                rendering.fresh = min(STALE, max(FRESH, _SHARE * text.cost))
        finally:
            if rendering.result is None and self._latest.get(kind) is rendering:
                del self._latest[kind]  # whoever asks next tries anew
            rendering.done.set()


def takes_gzip(accept_encoding: str) -> bool:
    """Whether that header names gzip, and not as what is not wanted."""
    for each in accept_encoding.lower().split(","):
        coding, _, weight = each.replace(" ", "").partition(";q=")
        if coding in ("gzip", "x-gzip"):
            return weight.strip("0.") != "" or not weight
    return False
