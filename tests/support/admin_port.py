"""An admin port with a fake proxy behind it, and a client that sends whatever bytes it is told to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from config.model import Admin, Bind, UnixBind
from guardian.admin.connection import Times
from guardian.admin.keys import read_keys
from guardian.admin.server import AdminServer
from tests.support.operable import FakeProxy

ANY_PORT = Bind(host="127.0.0.1", port=0)
LOOPBACK = Admin(bind=ANY_PORT)
PATIENT = Times()
QUICK = Times(idle=0.3, request=0.3, answer=2.0, write=0.3, linger=0.2)
DRAIN = "/groups/payments/devices/hsm1/drain"


@attrs.frozen
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@asynccontextmanager
async def serving(
    proxy: FakeProxy | None = None, admin: Admin = LOOPBACK, times: Times = PATIENT
) -> AsyncIterator[Bind]:
    async with serving_at(admin, proxy, times) as bound:
        assert isinstance(bound, Bind), "the others ask by themselves"
        yield bound


@asynccontextmanager
async def serving_at(
    admin: Admin, proxy: FakeProxy | None = None, times: Times = PATIENT
) -> AsyncIterator[Bind | UnixBind]:
    """As `serving`, wherever it listens."""
    async with running(AdminServer(admin, read_keys(admin), proxy or FakeProxy(), times), proxy) as bound:
        yield bound


@asynccontextmanager
async def running(server: AdminServer, proxy: FakeProxy | None = None) -> AsyncIterator[Bind | UnixBind]:
    """A server that the test keeps hold of."""
    async with trio.open_nursery() as nursery:
        if proxy is not None:
            nursery.start_soon(proxy.lessons.run)
        bound: Bind | UnixBind = await nursery.start(server.serve)
        yield bound
        nursery.cancel_scope.cancel()


async def exchange(bound: Bind, raw: bytes) -> bytes:
    """Send these bytes, and give all that comes until the server closes."""
    stream = await trio.open_tcp_stream(bound.host, bound.port)
    async with stream:
        received = b""
        with trio.fail_after(30):
            try:
                await stream.send_all(raw)
                await stream.send_eof()
                async for data in stream:
                    received += data
            except trio.BrokenResourceError:
                pass
        return received


def parse(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    return Answer(
        int(first.split()[1]), {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}, body
    )


async def ask(bound: Bind, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
    named = {"host": str(bound), **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body:
        named["content-length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
    return parse(await exchange(bound, f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body))
