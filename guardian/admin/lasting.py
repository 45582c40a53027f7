"""Answers that go on: chunks for as long as both sides want, and WebSockets on the same connection.

A client that takes nothing for `write` seconds is let go, and both count as lasting in the `Room`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Final

import structlog
import trio
from trio_websocket import ConnectionClosed, wrap_server_stream

from .access import SUBPROTOCOL
from .dispatch import Conversation

_CHUNK: Final = 8_192
_MESSAGE: Final = 65_536  # bytes of one message from a client


async def pour(
    stream: trio.abc.Stream, chunks: AsyncGenerator[bytes, None], send: Callable[[bytes], Awaitable[None]]
) -> bool:
    """Send each chunk as it comes until they end, or until the client does anything but listen.

    Gives whether the chunks came to their end. Raises trio.BrokenResourceError when the client is gone.
    """
    ended = False
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            """It says nothing more, so whatever comes is its end."""
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await stream.receive_some(_CHUNK)
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        async with aclosing(chunks):
            try:
                async for chunk in chunks:
                    if chunk:  # an empty one would say that it was the last
                        await send(chunk)
                ended = True
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the client is gone
            except Exception as exc:  # noqa: BLE001 (the client sees that the end is missing)
                structlog.get_logger().error("admin stream failed", exc_info=exc)
        nursery.cancel_scope.cancel()
    return ended


async def converse(stream: trio.abc.Stream, seen: bytes, conversation: Conversation, write: float) -> None:
    """Be a WebSocket. ``seen``: all bytes of the request and what came behind it; ``write``: seconds."""
    whole = _Replayed(stream, seen, write)
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(write):  # where it finds fault with the request it would wait for another
                asked = await wrap_server_stream(nursery, whole, max_message_size=_MESSAGE)
            proposed = SUBPROTOCOL in asked.proposed_subprotocols
            socket = await asked.accept(subprotocol=SUBPROTOCOL if proposed else None)
            try:
                await conversation.talk(conversation.request, socket)
            except* ConnectionClosed:
                pass
            except* Exception as group:  # noqa: BLE001 (one conversation is lost, not the server)
                structlog.get_logger().error("admin conversation failed", exc_info=group)
            with trio.move_on_after(write):
                await socket.aclose()
            nursery.cancel_scope.cancel()
    except* (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
        pass  # the client is gone, or was none


class _Replayed(trio.abc.Stream):
    """A stream whose first bytes were read already. Sending has a deadline."""

    def __init__(self, stream: trio.abc.Stream, seen: bytes, write: float) -> None:
        self._stream = stream
        self._seen = seen
        self._write = write

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._seen:
            await trio.lowlevel.checkpoint()
            end = len(self._seen) if max_bytes is None else max_bytes
            first, self._seen = self._seen[:end], self._seen[end:]
            return first
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with trio.move_on_after(self._write) as scope:
            await self._stream.send_all(data)
        if scope.cancelled_caught:
            raise trio.BrokenResourceError("the client takes nothing")

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        with trio.move_on_after(self._write):
            await self._stream.aclose()
