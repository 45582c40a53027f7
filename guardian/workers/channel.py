"""What a supervisor and one of its workers talk on: a pair of stream sockets, and messages both ways.

On the wire each message is its length in four bytes and then msgpack. Descriptors go beside it: they arrive with its
first byte (unix(7), SCM_RIGHTS), and the message says how many are its own.
"""

from __future__ import annotations

import enum
import os
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
import structlog
import trio

_LENGTH: Final = struct.Struct("!I")
_LONGEST: Final = 256 << 20  # bytes of one message: a snapshot of thousands of clients is a few million
_UNREAD: Final = 32 << 20  # bytes: who has left as many unread is taken for dead
_BIG: Final = 64 << 10  # bytes: what takes longer than a millisecond to read is read in a thread
_PIECE: Final = 256 << 10
_MOST_DESCRIPTORS: Final = 250  # in one message: the kernel's limit is 253
_A_DESCRIPTOR: Final = struct.calcsize("i")
PATIENCE: Final = 10.0  # seconds until an answer is given up, where the caller says nothing else


class ChannelError(Exception):
    """No answer. The text says why, for people."""


class PeerGone(ChannelError):  # noqa: N818 - named for what happened
    """The other process has ended, or is taken for dead. Whether it has done what was asked is not known."""


class NoAnswer(ChannelError):  # noqa: N818 - named for what happened
    """None came in time. Whether it is done, or will be, is not known."""


class Refused(ChannelError):  # noqa: N818 - named for what happened
    """The other says no; its handler raised this, with the reason."""


class _Kind(enum.IntEnum):
    TELL = 0
    ASK = 1
    ANSWER = 2
    REFUSAL = 3


class _Message(msgspec.Struct, array_like=True):
    kind: _Kind
    number: int  # of the question; 0 where nobody waits
    name: str
    descriptors: int
    content: msgspec.Raw


_read_message = msgspec.msgpack.Decoder(_Message).decode
_encode = msgspec.msgpack.Encoder().encode
Handler = Callable[..., None]
Answerer = Callable[..., Awaitable[Any]]


class Channel:
    """One end. Set the handlers, then have `run` run; what is told before is sent then.

    Content is what msgspec can encode, objects of attrs too; handlers get it by keyword as plain values, and make
    objects of it with `msgspec.convert`. Where descriptors came, they get these as ``descriptors``, and own them.
    """

    def __init__(self, sock: socket.socket) -> None:
        """``sock``: one of a pair of stream sockets. It is ours from now on."""
        sock.setblocking(False)
        self._socket = trio.socket.from_stdlib_socket(sock)
        self._hearers: dict[str, Handler] = {}
        self._answerers: dict[str, tuple[Answerer, bool]] = {}
        self._asked: dict[int, trio.MemorySendChannel[_Message | ChannelError]] = {}
        self._number = 0
        self._queue: deque[tuple[bytes, list[int]]] = deque()
        self._wake = trio.Event()
        self._arrived: deque[int] = deque()  # descriptors whose message is not whole yet
        self._asking: trio.Nursery | None = None
        self.unread = 0  # bytes that the other has not taken
        self.ended = trio.Event()
        self.reason = ""  # why it has ended, for people
        self._log = structlog.get_logger()

    def hear(self, name: str, handler: Handler) -> None:
        """``handler`` is called on the loop with what is told by that name, in its order; it must not wait."""
        self._hearers[name] = handler

    def answer_with(self, name: str, answerer: Answerer, *, beside: bool = False) -> None:
        """``answerer`` answers questions of that name, several at once; it may raise `Refused`.

        ``beside``: the answer is big, and is encoded in a thread: it must not change any more.
        """
        self._answerers[name] = (answerer, beside)

    def tell(self, name: str, /, *, descriptors: Sequence[int] = (), **content: Any) -> None:
        """Never waits. Nothing happens where the other is gone; who leaves 32 MiB unread is taken for dead.

        ``descriptors`` stay the caller's: copies are sent.
        """
        self._put(_Kind.TELL, 0, name, _encode(content), descriptors)

    async def ask(
        self,
        name: str,
        /,
        *,
        of: Any = Any,
        timeout: float = PATIENCE,
        descriptors: Sequence[int] = (),
        **content: Any,
    ) -> Any:
        """The answer, as ``of`` if that is given. Raises ChannelError: PeerGone, NoAnswer, Refused.

        ``timeout``: seconds. ``descriptors`` stay the caller's: copies are sent.
        """
        if self.ended.is_set():
            raise PeerGone(self.reason)
        self._number += 1
        number = self._number
        send, receive = trio.open_memory_channel[_Message | ChannelError](1)
        self._asked[number] = send
        try:
            self._put(_Kind.ASK, number, name, _encode(content), descriptors)
            with trio.move_on_after(timeout):
                return await _read_answer(await receive.receive(), of)
        finally:
            self._asked.pop(number, None)
        raise NoAnswer(f"no answer to {name} within {timeout:g} s")

    async def run(self) -> None:
        """Until the other has ended, or is taken for dead; then every question is answered by `PeerGone`."""
        try:
            async with trio.open_nursery() as self._asking:
                self._asking.start_soon(self._write)
                await self._read()
                self._asking.cancel_scope.cancel()
        finally:
            self.close()

    def close(self, reason: str = "this end was closed") -> None:
        """The other reads end of file. May be called more than once."""
        if self.ended.is_set():
            return
        self.reason = self.reason or reason
        self.ended.set()
        if self._asking is not None:
            self._asking.cancel_scope.cancel()
        self._socket.close()
        for _, copies in self._queue:
            _let_go(copies)
        _let_go(self._arrived)
        self._queue.clear()
        self._arrived.clear()
        self.unread = 0
        for waiting in self._asked.values():
            waiting.send_nowait(PeerGone(self.reason))
        self._asked.clear()

    def _put(self, kind: _Kind, number: int, name: str, content: bytes, descriptors: Sequence[int] = ()) -> None:
        if self.ended.is_set():
            return
        if len(descriptors) > _MOST_DESCRIPTORS:
            raise ValueError(f"{len(descriptors)} descriptors are too many for one message")
        body = _encode(_Message(kind, number, name, len(descriptors), msgspec.Raw(content)))
        if self.unread + len(body) > _UNREAD and self.unread:
            self.close("the other process does not read what it is told")
            return
        self._queue.append((_LENGTH.pack(len(body)) + body, [os.dup(each) for each in descriptors]))
        self.unread += len(body)
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._queue:
                data, copies = self._queue[0]
                try:
                    await self._send(data, copies)
                except (OSError, trio.ClosedResourceError) as exc:
                    self.close(_ended(exc))
                    return
                finally:
                    _let_go(copies)
                    copies.clear()
                self._queue.popleft()
                self.unread -= len(data) - _LENGTH.size

    async def _send(self, data: bytes, descriptors: list[int]) -> None:
        rest = memoryview(data)
        if descriptors:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))
            rest = rest[await self._socket.sendmsg([rest], [rights]) :]
        while rest:
            rest = rest[await self._socket.send(rest) :]

    async def _read(self) -> None:
        received = bytearray()
        room = socket.CMSG_SPACE(_MOST_DESCRIPTORS * _A_DESCRIPTOR)
        while True:
            try:
                data, beside, _, _ = await self._socket.recvmsg(_PIECE, room, socket.MSG_CMSG_CLOEXEC)
            except (OSError, trio.ClosedResourceError) as exc:
                self.reason = self.reason or _ended(exc)
                return
            for level, kind, packed in beside:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    whole = len(packed) - len(packed) % _A_DESCRIPTOR
                    self._arrived.extend(each for (each,) in struct.iter_unpack("i", packed[:whole]))
            if not data:
                self.reason = self.reason or "the other process has ended"
                return
            received += data
            while len(received) >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(received)
                if length > _LONGEST:
                    self.reason = f"a message of {length} bytes was announced"
                    return
                if len(received) < _LENGTH.size + length:
                    break
                body = bytes(memoryview(received)[_LENGTH.size : _LENGTH.size + length])
                del received[: _LENGTH.size + length]
                try:
                    self._take(_read_message(body))
                except (msgspec.DecodeError, IndexError, TypeError) as exc:
                    self.reason = f"what the other process said cannot be read ({exc})"
                    return

    def _take(self, message: _Message) -> None:
        descriptors = [self._arrived.popleft() for _ in range(message.descriptors)]
        if message.kind in (_Kind.ANSWER, _Kind.REFUSAL):
            waiting = self._asked.pop(message.number, None)
            if waiting is not None:
                waiting.send_nowait(message)
            return
        content = msgspec.msgpack.decode(message.content)
        if descriptors:
            content["descriptors"] = descriptors
        if message.kind is _Kind.ASK:
            assert self._asking is not None, "only `run` reads"
            self._asking.start_soon(self._answer, message, content)
            return
        hearer = self._hearers.get(message.name)
        if hearer is None:
            _let_go(descriptors)
            self._log.error("nobody hears what a process was told", name=message.name)
            return
        try:
            hearer(**content)
        except Exception as exc:  # noqa: BLE001 - the barrier: the others must still be heard
            self._log.error("a fault of the proxy's own between processes", name=message.name, exc_info=exc)

    async def _answer(self, message: _Message, content: dict[str, Any]) -> None:
        answerer, beside = self._answerers.get(message.name, (None, False))
        kind, answer = _Kind.ANSWER, b""
        try:
            if answerer is None:
                _let_go(content.get("descriptors", ()))
                raise Refused(f"nobody answers {message.name}")  # noqa: TRY301 - told below
            found = await answerer(**content)
            answer = await trio.to_thread.run_sync(_encode, found) if beside else _encode(found)
        except Refused as exc:
            kind, answer = _Kind.REFUSAL, _encode(str(exc))
        except Exception as exc:  # noqa: BLE001 - the barrier: one question must not end the channel
            self._log.error("a fault of the proxy's own between processes", name=message.name, exc_info=exc)
            kind, answer = _Kind.REFUSAL, _encode("a fault of the proxy's own; its log says more")
        self._put(kind, message.number, message.name, answer)


def channel_pair() -> tuple[Channel, socket.socket]:
    """Ours, and the other's end to hand down."""
    ours, theirs = socket.socketpair()
    return Channel(ours), theirs


async def _read_answer(found: _Message | ChannelError, of: Any) -> Any:
    if isinstance(found, ChannelError):
        raise found
    if found.kind is _Kind.REFUSAL:
        raise Refused(msgspec.msgpack.decode(found.content, type=str))
    if len(found.content) < _BIG:
        return msgspec.msgpack.decode(found.content, type=of)
    return await trio.to_thread.run_sync(lambda: msgspec.msgpack.decode(found.content, type=of))


def _ended(exc: Exception) -> str:
    why = f" ({exc.strerror})" if isinstance(exc, OSError) else ""
    return f"the other process has ended{why}"


def _let_go(descriptors: Sequence[int] | deque[int]) -> None:
    for each in descriptors:
        os.close(each)
