"""`GET /metrics`: rendered in a thread, once for all who ask at about the same time.

A hundred scrapes a second cost four renderings; where one takes long, fewer, so that they take a tenth of a core.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import attrs
import trio

from balancer.snapshot import ProxySnapshot
from guardian import metrics

FRESH: Final = 0.25  # seconds: who asks so soon after a rendering was begun gets the same
STALE: Final = 1.0  # seconds: and nobody gets an older one, however long renderings take
_SHARE: Final = 10.0  # times the CPU time of a rendering until the next: a tenth of a core at most, up to `STALE`
_KINDS: Final = 4  # kept: there are two formats, and what clients make up in `Accept` must not fill the memory


@attrs.define(eq=False)
class _Rendering:
    begun: float
    fresh: float = FRESH
    done: trio.Event = attrs.field(factory=trio.Event)
    result: tuple[bytes, str] | None = None  # None where it failed


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

    async def text(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type. Raises whatever its rendering raises."""
        kind = metrics.content_type(accept)
        while True:
            rendering = self._latest.get(kind)
            if rendering is None or trio.current_time() - rendering.begun >= rendering.fresh:
                rendering = self._latest[kind] = _Rendering(trio.current_time())
                await self._make(rendering, kind, accept)
            else:
                await rendering.done.wait()
            if rendering.result is not None:
                return rendering.result  # else who made it left, or failed: it is our turn

    def _timed(self, snapshot: ProxySnapshot, accept: str) -> tuple[tuple[bytes, str], float]:
        """What was made, and the seconds of CPU that it took."""
        began = time.thread_time()
        made = self._render(snapshot, self._version, accept)
        return made, time.thread_time() - began

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
