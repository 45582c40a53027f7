"""`GET /metrics`: rendered in a thread, once for all who ask at about the same time.

A hundred scrapes a second cost four renderings; where one takes long, fewer, so that they take a tenth of a core. Each
is compressed once, as Prometheus asks for it: to write hundreds of kilobytes for each scrape costs more than that.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from typing import Final

import attrs
import trio

from balancer.snapshot import ProxySnapshot
from guardian import metrics

from .heads import made_whole
from .message import Response

FRESH: Final = 0.25  # seconds: who asks so soon after a rendering was begun gets the same
STALE: Final = 1.0  # seconds: and nobody gets an older one, however long renderings take
OLDEST: Final = 2.0  # seconds: while a rendering is made, who asks gets the one before it, unless that is older
_SHARE: Final = 10.0  # times the CPU time of a rendering until the next: a tenth of a core at most, up to `STALE`
_LEVEL: Final = 3  # of gzip, which leaves the interpreter to others: a tenth of the size
_VARY: Final = {"Vary": "Accept, Accept-Encoding"}
_KINDS: Final = 4  # kept: there are two formats, and what clients make up in `Accept` must not fill the memory


@attrs.frozen(kw_only=True)
class Exposition:
    plain: Response
    zipped: Response  # the same, by gzip

    @property
    def body(self) -> bytes:
        return self.plain.body


@attrs.define(eq=False)
class _Rendering:
    begun: float
    fresh: float = FRESH
    done: trio.Event = attrs.field(factory=trio.Event)
    result: Exposition | None = None  # None where it failed
    before: Exposition | None = None  # of the rendering before it
    before_begun: float = 0.0


class Scrapes:
    """``render``: makes the text of a snapshot, for an `Accept`; runs in a thread."""

    def __init__(
        self,
        snapshot: Callable[[], ProxySnapshot],
        version: str,
        render: Callable[[ProxySnapshot, str, str], tuple[bytes, str]] = metrics.render,
    ) -> None:
        self._snapshot = snapshot
        self._version = version
        self._render = render
        self._threads = trio.CapacityLimiter(1)  # a second one would only fight the first for the interpreter
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

    def _timed(self, snapshot: ProxySnapshot, accept: str) -> tuple[Exposition, float]:
        """What was made, and the seconds of CPU that it took."""
        began = time.thread_time()
        body, kind = self._render(snapshot, self._version, accept)
        cost = time.thread_time() - began
        plain = Response(status=200, content_type=kind, body=body, headers=_VARY)
        small = gzip.compress(body, _LEVEL, mtime=0)
        zipped = attrs.evolve(plain, body=small, headers={**_VARY, "Content-Encoding": "gzip"})
        return Exposition(plain=made_whole(plain), zipped=made_whole(zipped)), cost

    async def _make(self, rendering: _Rendering, kind: str, accept: str) -> None:
        while len(self._latest) > _KINDS:
            del self._latest[next(iter(self._latest))]
        try:
            async with self._threads:
                snapshot = self._snapshot()  # on the loop, and only once it is our turn
                rendering.result, cost = await trio.to_thread.run_sync(self._timed, snapshot, accept)
                rendering.fresh = min(STALE, max(FRESH, _SHARE * cost))
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
