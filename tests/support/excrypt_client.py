"""An Excrypt client that knows nothing of the proxy's code: a witness of what a client sees."""

from __future__ import annotations

import ssl
from typing import Self

import trio


class Closed(Exception):  # noqa: N818 - named for what happened
    """The connection ended; whether it broke or was closed in order."""


class ExcryptClient:
    """One connection; `request` sends a message and gives the next one that comes."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._buffer = b""

    @classmethod
    async def connect(cls, address: tuple[str, int], tls: ssl.SSLContext | None) -> Self:
        """Raises `Closed` where the handshake fails."""
        tcp = await trio.open_tcp_stream(*address)
        if tls is None:
            return cls(tcp)
        stream = trio.SSLStream(tcp, tls, server_hostname=address[0])
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError as exc:
            await trio.aclose_forcefully(stream)
            raise Closed from exc
        except trio.Cancelled:
            tcp.socket.close()
            raise
        return cls(stream)

    async def send(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            raise Closed from exc

    async def receive(self) -> bytes:
        """The next message, brackets and all. Raises `Closed`."""
        while (end := self._buffer.find(b"]")) < 0:
            try:
                data = await self._stream.receive_some(65536)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                raise Closed from exc
            if not data:
                raise Closed
            self._buffer += data
        message, self._buffer = self._buffer[: end + 1], self._buffer[end + 1 :]
        return message

    async def request(self, message: bytes) -> bytes:
        await self.send(message)
        return await self.receive()

    async def ended(self) -> bytes:
        """Everything that still comes until the end of the connection."""
        try:
            while data := await self._stream.receive_some(65536):
                self._buffer += data
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        return self._buffer

    def vanish(self) -> None:
        """Gone without a word: a reset."""
        self._socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._socket.close()

    def close(self) -> None:
        """Gone without TLS's goodbye."""
        self._socket.close()

    @property
    def _socket(self) -> trio.socket.SocketType:
        stream = self._stream.transport_stream if isinstance(self._stream, trio.SSLStream) else self._stream
        assert isinstance(stream, trio.SocketStream)
        return stream.socket
