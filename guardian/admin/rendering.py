"""Answers that may be large: made and written in a thread, in pieces, so that the data path has its turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec
import trio

from .message import Response

# Levels that are taken apart. What is below them is written at once, while nobody else can run: of what can be asked
# for, an entry at most, and no list of entries (in `/learning` groups, their parts, clients, their parts, codes).
_LEVELS: Final = 6


class Renderer:
    """One answer at a time: a second thread would only fight the first for the interpreter."""

    def __init__(self) -> None:
        self._turns = trio.CapacityLimiter(1)

    async def answer(self, status: int, make: Callable[[], Mapping[str, object]]) -> Response:
        """``make`` runs in the thread: what it shows must not change meanwhile. Raises whatever it raises."""
        return await self.written(lambda: as_bytes(make()), status)

    async def written(self, write: Callable[[], bytes], status: int = 200) -> Response:
        """As `answer`, for what writes its JSON by itself."""
        async with self._turns:
            body = await trio.to_thread.run_sync(write)
        return Response(status=status, content_type="application/json", body=body)


def as_bytes(content: object) -> bytes:
    """JSON with a newline after each value of the upper levels, without indentation. Iterators may stand for lists."""
    return b"".join(_pieces(content, _LEVELS)) + b"\n"


def _pieces(value: object, levels: int) -> Iterator[bytes]:
    if levels and isinstance(value, dict) and all(isinstance(key, str) for key in value):
        before = b"{"
        for key, each in value.items():
            yield before + msgspec.json.encode(key) + b": "
            yield from _pieces(each, levels - 1)
            before = b",\n"
        yield b"}" if value else b"{}"
    elif levels and isinstance(value, list | tuple | Iterator):
        before = b"["
        for each in value:
            yield before
            yield from _pieces(each, levels - 1)
            before = b",\n"
        yield b"[]" if before == b"[" else b"]"
    else:
        yield msgspec.json.encode(value)
