"""A proxy as one would write it first: shared device connections, trusted to be clean when they come back.

It is wrong on purpose: tests of cross-talk must find that, or they would not see it in the real proxy either.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import trio


class NaivePool:
    """Each client's request takes a connection from the pool and puts it back, whatever happened meanwhile."""

    def __init__(self, devices: Sequence[tuple[str, int]], ours: ssl.SSLContext, theirs: ssl.SSLContext) -> None:
        """``ours`` is shown to clients, ``theirs`` to devices."""
        self._devices = list(devices)
        self._ours = ours
        self._theirs = theirs
        self._idle: list[trio.SSLStream[trio.SocketStream]] = []
        self._turn = 0
        self.address = ("", 0)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.address = listeners[0].socket.getsockname()
        task_status.started()
        try:
            await trio.serve_listeners(self._serve, listeners)
        finally:
            for stream in self._idle:
                stream.transport_stream.socket.close()

    async def _serve(self, tcp: trio.SocketStream) -> None:
        client = trio.SSLStream(tcp, self._ours, server_side=True)
        try:
            while data := await client.receive_some():
                await self._exchange(client, data)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            tcp.socket.close()

    async def _exchange(self, client: trio.SSLStream[trio.SocketStream], request: bytes) -> None:
        device = self._idle.pop() if self._idle else await self._connect()
        kept = True
        try:
            await device.send_all(request)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._notice_end, client, nursery.cancel_scope)
                answer = await device.receive_some()
                nursery.cancel_scope.cancel()
            if answer:
                await client.send_all(answer)
            else:
                kept = False
        except* trio.BrokenResourceError:
            kept = False
        finally:
            if kept:
                self._idle.append(device)
            else:
                device.transport_stream.socket.close()

    async def _notice_end(self, client: trio.SSLStream[trio.SocketStream], scope: trio.CancelScope) -> None:
        """The client has gone: stop waiting for its answer."""
        await trio.lowlevel.wait_readable(client.transport_stream.socket)
        scope.cancel()

    async def _connect(self) -> trio.SSLStream[trio.SocketStream]:
        self._turn += 1
        host, port = self._devices[self._turn % len(self._devices)]
        tcp = await trio.open_tcp_stream(host, port)
        return trio.SSLStream(tcp, self._theirs, server_hostname=host)
