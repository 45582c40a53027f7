"""A proxy that keeps every promise in the simplest way, and faults to plant in it: what the harness is tested with.

Every client has device connections of its own. A read goes to any device in sync, a write under one lock to all of
them. A device whose watching connection broke, or that missed a write, is behind until its key table is shown equal.
It lives in the test's process, knows nothing of the real proxy's code, and is as slow as it looks.
"""

from __future__ import annotations

import enum
import ssl
from collections.abc import Mapping
from random import Random
from typing import Final

import attrs
import trio

from .excrypt_client import Closed, ExcryptClient
from .histories import error_of, mark_of

READ, WRITE = frozenset({b"ECHO", b"RAND", b"RKEY", b"HMAC", b"QQQQ"}), frozenset({b"TIME", b"GPKA", b"GPKD"})
ANSWER: Final = 2.0  # seconds: long enough for a process in which clients, proxy and devices live together
TABLE: Final = b"[AOGPKM;]"


class Bug(enum.Enum):
    SERVES_BEHIND = "serves behind"  # reads go to devices that are behind, too
    RESENDS = "resends"  # a write that was not answered is sent to the same device again
    HASTY = "hasty"  # the client hears of a write when one device has it
    FORGETS = "forgets"  # an expired login is not repeated
    DENIES = "denies"  # a write in doubt is said to have been sent nowhere


@attrs.define(eq=False)
class ModelProxy:
    devices: Mapping[str, tuple[str, int]]  # the primary first
    server: ssl.SSLContext
    client: ssl.SSLContext
    quorum: int
    random: Random
    bug: Bug | None = None
    behind: set[str] = attrs.field(init=False)  # what serves nothing
    address: tuple[str, int] = attrs.field(default=("", 0), init=False)
    _lock: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self.behind = set()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, self._serve, 0)
            self.address = ("127.0.0.1", listeners[0].socket.getsockname()[1])
            for name in self.devices:
                nursery.start_soon(self._watch, name)
            nursery.start_soon(self._compare)
            task_status.started()

    def states(self) -> list[dict[str, object]]:
        """As `/status` lists devices."""
        return [
            {
                "name": name,
                "role": "primary" if number == 0 else "production",
                "in_service": name not in self.behind,
                "health": "unsafe" if name in self.behind else "up",
            }
            for number, name in enumerate(self.devices)
        ]

    async def connect(self, name: str) -> ExcryptClient:
        """Raises Closed."""
        try:
            with trio.fail_after(ANSWER):
                return await ExcryptClient.connect(self.devices[name], self.client)
        except (OSError, trio.TooSlowError) as exc:
            raise Closed from exc

    async def _watch(self, name: str) -> None:
        """Sit on a connection; a device that breaks it may have come back as another."""
        while True:
            try:
                watching = await self.connect(name)
            except Closed:
                self.behind.add(name)
                await trio.sleep(0.05)
                continue
            try:
                await watching.ended()
            finally:
                watching.close()
            self.behind.add(name)

    async def _compare(self) -> None:
        while True:
            await trio.sleep(0.1)
            async with self._lock:
                right = next((name for name in self.devices if name not in self.behind), None)
                for name in sorted(self.behind):
                    if right is not None and await self._table(name) == await self._table(right) != b"":
                        self.behind.discard(name)

    async def _table(self, name: str) -> bytes:
        """Empty when it cannot be had."""
        try:
            connection = await self.connect(name)
        except Closed:
            return b""
        try:
            with trio.move_on_after(ANSWER):
                answer = await connection.request(TABLE)
                return answer if answer.startswith(b"[AOGPKM") else b""
        except Closed:
            pass
        finally:
            connection.close()
        return b""

    async def _serve(self, tcp: trio.SocketStream) -> None:
        stream = trio.SSLStream(tcp, self.server, server_side=True)
        served = _Served(self, ExcryptClient(stream))
        try:
            await stream.do_handshake()
            await served.run()
        except (Closed, trio.BrokenResourceError):
            pass
        finally:
            served.client.close()
            served.forget()


@attrs.define(eq=False)
class _Served:
    """One client."""

    proxy: ModelProxy
    client: ExcryptClient
    own: dict[str, ExcryptClient] = attrs.field(factory=dict)
    login: bytes | None = None

    async def run(self) -> None:
        while True:
            await self.client.send(await self._answer(await self.client.receive()))

    def forget(self) -> None:
        for connection in self.own.values():
            connection.close()
        self.own.clear()

    async def _answer(self, request: bytes) -> bytes:
        code = request[3:7]
        if code == b"RKLG":
            answer = await self._read(request)
            if b";ANY;" in answer:
                self.login = request
                self.forget()
            return answer
        if code in WRITE:
            return await self._write(request)
        return await self._read(request) if code in READ else _own(901, request)

    async def _read(self, request: bytes) -> bytes:
        sent = False
        for _ in range(3):
            names = [n for n in self.proxy.devices if n not in self.proxy.behind or self.proxy.bug is Bug.SERVES_BEHIND]
            self.proxy.random.shuffle(names)
            for name in names:
                try:
                    connection = await self._connection(name)
                except Closed:
                    continue
                sent = True
                if (answer := await self._ask(name, connection, request)) is not None:
                    return answer
            await trio.sleep(0.05)
        return _own(905 if sent else 902, request)

    async def _write(self, request: bytes) -> bytes:
        proxy = self.proxy
        async with proxy._lock:
            ready: dict[str, ExcryptClient] = {}
            for name in [name for name in proxy.devices if name not in proxy.behind]:
                try:
                    ready[name] = await self._connection(name)
                except Closed:
                    continue
            if len(ready) < proxy.quorum:
                return _own(902, request)
            first: bytes | None = None
            have = 0
            for name in [name for name in proxy.devices if name not in proxy.behind]:
                answer = await self._ask(name, ready[name], request) if name in ready else None
                if answer is None and name in ready and proxy.bug is Bug.RESENDS:
                    answer = await self._ask_again(name, request)
                if answer is None or (first is not None and answer != first):
                    proxy.behind.add(name)
                    continue
                if first is None and error_of(answer) is not None:
                    return answer  # refused: it ran nowhere, and whoever ran it after all would be unlike the others
                first, have = answer, have + 1
                if proxy.bug is Bug.HASTY:
                    return answer
            if first is None or have < proxy.quorum:
                return _own(904 if proxy.bug is Bug.DENIES else 903, request)
            return first

    async def _connection(self, name: str) -> ExcryptClient:
        """Logged in where the client is. Raises Closed."""
        if name in self.own:
            return self.own[name]
        connection = await self.proxy.connect(name)
        if self.login is not None:
            await self._log_in(connection)
        self.own[name] = connection
        return connection

    async def _log_in(self, connection: ExcryptClient) -> None:
        """Raises Closed where it fails in any way."""
        assert self.login is not None
        done = False
        try:
            with trio.move_on_after(ANSWER):
                done = b";ANY;" in await connection.request(self.login)
        finally:
            if not done:
                connection.close()
        if not done:
            raise Closed

    async def _ask(self, name: str, connection: ExcryptClient, request: bytes) -> bytes | None:
        """The answer that belongs to it; None, and the connection is gone, where none came."""
        kept = False
        try:
            with trio.move_on_after(ANSWER):
                answer = await connection.request(request)
                # A slow machine may let the new one expire, too.
                while error_of(answer) == 20 and self.login is not None and self.proxy.bug is not Bug.FORGETS:
                    await self._log_in(connection)
                    answer = await connection.request(request)
                kept = mark_of(answer) == mark_of(request) and answer[3:7] in (request[3:7], b"ERRO")
                if kept:
                    return answer
        except Closed:
            pass
        finally:
            if not kept:
                connection.close()
                self.own.pop(name, None)
        return None

    async def _ask_again(self, name: str, request: bytes) -> bytes | None:
        try:
            return await self._ask(name, await self._connection(name), request)
        except Closed:
            return None


def _own(number: int, request: bytes) -> bytes:
    mark = mark_of(request)
    return b"[AOERRO;AM%d;ANAO;BBMODEL;%b]" % (number, b"" if mark is None else b"AG%b;" % mark)
