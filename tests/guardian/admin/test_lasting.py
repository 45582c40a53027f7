"""Streams and WebSockets: they end with whoever ends them, are bounded in number, and let nobody wait for them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
import trio
import trustme
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    wrap_client_stream,
)

from balancer.snapshot import Will
from config.model import Admin, AdminTls, Bind
from guardian.admin import room, server
from guardian.admin.message import Request, Response, Role
from guardian.admin.route import Route
from tests.support.admin_port import ANY_PORT, QUICK, ask, exchange, serving
from tests.support.operable import FakeProxy

Chunks = Callable[[], AsyncGenerator[bytes, None]]
Talk = Callable[[Request, WebSocketConnection], Awaitable[None]]


def with_route(monkeypatch: pytest.MonkeyPatch, *routes: Route) -> None:
    monkeypatch.setattr(server, "all_routes", lambda *given: [*real(*given), *routes])


real = server.all_routes


def stream(chunks: Chunks) -> Route:
    async def handler(_request: Request) -> Response:
        return Response(status=200, content_type="text/plain", stream=chunks())

    return Route(method="GET", path="/lines", role=Role.VIEW, summary="Lines", handler=handler)


def websocket(talk: Talk, role: Role = Role.VIEW) -> Route:
    return Route(method="GET", path="/talk", role=role, summary="Talk", talk=talk)


LINES = b"GET /lines HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def test_a_chunk_is_there_as_soon_as_it_is_made_and_the_end_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = trio.Event()

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"one\n"
        await go_on.wait()
        yield b""
        yield b"two\n"

    with_route(monkeypatch, stream(chunks))
    async with serving() as bound:
        client = await trio.open_tcp_stream(bound.host, bound.port)
        await client.send_all(LINES)
        received = b""
        with trio.fail_after(30):
            while b"one\n" not in received:
                received += await client.receive_some()
            assert b"two" not in received
            go_on.set()
            async for data in client:
                received += data
        await client.aclose()
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n"


@pytest.mark.parametrize("leave", ["close", "half-close", "talk on", "server stops"])
async def test_what_makes_the_chunks_is_ended_when_either_side_leaves(
    leave: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = trio.Event()

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield b"begun"
            await trio.sleep_forever()
        finally:
            ended.set()

    with_route(monkeypatch, stream(chunks))
    with trio.fail_after(30):
        async with serving() as bound:
            client = await trio.open_tcp_stream(bound.host, bound.port)
            await client.send_all(LINES)
            received = b""
            while b"begun" not in received:
                received += await client.receive_some()
            if leave == "close":
                await client.aclose()
            elif leave == "half-close":
                await client.send_eof()
            elif leave == "talk on":
                await client.send_all(LINES)
            if leave != "server stops":
                await ended.wait()
            assert not await _is_stuck(bound)
        await ended.wait()
        await client.aclose()


async def _is_stuck(bound: Bind) -> bool:
    return (await ask(bound, "GET", "/livez")).status != 200


async def test_a_fault_in_a_stream_leaves_its_end_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"one"
        raise RuntimeError("made up")

    with_route(monkeypatch, stream(chunks))
    with structlog.testing.capture_logs() as logged:
        async with serving() as bound:
            client = await trio.open_tcp_stream(bound.host, bound.port)
            await client.send_all(LINES)
            received = b""
            with trio.fail_after(30):
                async for data in client:
                    received += data
            await client.aclose()
            assert not await _is_stuck(bound)
    assert received.endswith(b"one\r\n")
    assert [event["event"] for event in logged] == ["admin stream failed"]


async def test_head_of_a_stream_is_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        raise AssertionError("nobody wants any")
        yield b""

    with_route(monkeypatch, stream(chunks))
    async with serving() as bound:
        assert (await exchange(bound, LINES.replace(b"GET", b"HEAD"))).endswith(b"\r\n\r\n")


async def test_a_client_that_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = trio.Event()

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            ended.set()

    with_route(monkeypatch, stream(chunks))
    async with serving(times=QUICK) as bound:
        deaf = await trio.open_tcp_stream(bound.host, bound.port)
        await deaf.send_all(LINES)
        with trio.fail_after(30):
            await ended.wait()
        await trio.aclose_forcefully(deaf)


@asynccontextmanager
async def talking(bound: Bind, tls: ssl.SSLContext | None = None, **headers: str) -> AsyncIterator[WebSocketConnection]:
    """As `open_websocket`, which leaves the socket to the garbage collector when the server closes."""
    offered = headers.pop("subprotocols", "").split()
    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    async with trio.open_nursery() as nursery:
        plain = await trio.open_tcp_stream(bound.host, bound.port)
        stream: trio.abc.Stream = plain
        if tls is not None:
            stream = trio.SSLStream(plain, tls, server_hostname=bound.host, https_compatible=True)
        try:
            async with await wrap_client_stream(
                nursery, stream, str(bound), "/talk", subprotocols=offered, extra_headers=named
            ) as socket:
                yield socket
        finally:
            plain.socket.close()
            nursery.cancel_scope.cancel()


async def knock(bound: Bind, **headers: str) -> int:
    """The status that asking for the WebSocket gets."""
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    asked = {"connection": "Upgrade", "upgrade": "websocket", "sec_websocket_version": "13", "sec_websocket_key": key}
    return (await ask(bound, "GET", "/talk", **{**asked, **headers})).status


async def echo(_request: Request, socket: WebSocketConnection) -> None:
    while True:
        await socket.send_message(await socket.get_message())


async def test_a_websocket_talks_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    with_route(monkeypatch, websocket(echo))
    with structlog.testing.capture_logs() as logged, trio.fail_after(30):
        async with serving() as bound, talking(bound, subprotocols="guardian other") as socket:
            assert socket.subprotocol == "guardian"
            for message in ("one", "two"):
                await socket.send_message(message)
                assert await socket.get_message() == message
    assert logged == []


async def test_a_websocket_may_follow_another_request_on_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with_route(monkeypatch, websocket(echo))
    head = (
        b"GET /talk HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    masked = b"\x81\x82\x00\x00\x00\x00hi"  # a text frame
    async with serving() as bound:
        client = await trio.open_tcp_stream(bound.host, bound.port)
        await client.send_all(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + head)
        received = b""
        with trio.fail_after(30):
            while b"HTTP/1.1 101" not in received:
                received += await client.receive_some()
            await client.send_all(masked)
            while not received.endswith(b"\x81\x02hi"):
                received += await client.receive_some()
        await client.aclose()


@pytest.mark.parametrize("who", ["client", "route", "vanished"])
async def test_a_websocket_ends_whoever_ends_it(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = trio.Event()

    async def talk(_request: Request, socket: WebSocketConnection) -> None:
        try:
            await socket.send_message("hello")
            if who != "route":
                await socket.get_message()
        finally:
            ended.set()

    with_route(monkeypatch, websocket(talk))
    with structlog.testing.capture_logs() as logged, trio.fail_after(30):
        async with serving(times=QUICK) as bound, talking(bound) as socket:
            assert await socket.get_message() == "hello"
            if who == "client":
                await socket.aclose()
            elif who == "vanished":
                await trio.aclose_forcefully(socket._stream)
            else:
                with pytest.raises(ConnectionClosed):
                    await socket.get_message()
            await ended.wait()
            assert not await _is_stuck(bound)
    assert logged == []


async def test_a_websocket_ends_when_the_server_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = trio.Event()

    async def talk(_request: Request, socket: WebSocketConnection) -> None:
        try:
            await socket.send_message("hello")
            await trio.sleep_forever()
        finally:
            ended.set()

    with_route(monkeypatch, websocket(talk))
    async with trio.open_nursery() as nursery:
        stop = trio.CancelScope()

        async def serve(*, task_status: trio.TaskStatus[Bind]) -> None:
            with stop:
                async with serving() as bound:
                    task_status.started(bound)
                    await trio.sleep_forever()

        bound = await nursery.start(serve)
        with trio.fail_after(30):
            async with talking(bound) as socket:
                assert await socket.get_message() == "hello"
                stop.cancel()
                await ended.wait()
                with pytest.raises(ConnectionClosed):
                    await socket.get_message()


async def test_a_fault_in_a_conversation_ends_that_one_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(_request: Request, _socket: WebSocketConnection) -> None:
        raise RuntimeError("made up")

    with_route(monkeypatch, websocket(talk))
    with structlog.testing.capture_logs() as logged, trio.fail_after(30):
        async with serving() as bound:
            async with talking(bound) as socket:
                with pytest.raises(ConnectionClosed):
                    await socket.get_message()
            assert not await _is_stuck(bound)
    assert [event["event"] for event in logged] == ["admin conversation failed"]


async def test_a_plain_get_of_a_websocket_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with_route(monkeypatch, websocket(echo))
    async with serving() as bound:
        assert (await ask(bound, "GET", "/talk")).status == 426


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"host": "evil.example"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"authorization": "Bearer wrong"}, 401),
        ({"sec_websocket_protocol": "guardian.bearer.d3Jvbmc"}, 401),
        ({}, 401),
        ({"authorization": "Bearer s3cret"}, 101),
        ({"sec_websocket_protocol": "guardian, guardian.bearer.czNjcmV0"}, 101),
    ],
)
async def test_a_websocket_is_refused_as_any_request_is(
    headers: dict[str, str], status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("s3cret")
    with_route(monkeypatch, websocket(echo))
    async with serving(admin=Admin(bind=ANY_PORT, token_file=tmp_path / "token")) as bound:
        assert await knock(bound, **headers) == status


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"sec_websocket_version": "8"}, 426),
        ({"sec_websocket_version": ""}, 426),
        ({"sec_websocket_key": ""}, 400),
        ({"connection": "close"}, 400),
    ],
)
async def test_what_is_no_websocket_after_all_takes_no_place(
    changed: dict[str, str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LASTING", 1)
    with_route(monkeypatch, websocket(echo))
    async with serving(times=QUICK) as bound:
        assert await knock(bound, **changed) == status
        with trio.fail_after(30):
            while await knock(bound) != 101:
                await trio.sleep(0.01)


async def test_there_are_only_so_many_and_the_others_still_get_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LASTING", 2)
    monkeypatch.setattr(room, "CONNECTIONS", 4)
    with_route(monkeypatch, websocket(echo))
    proxy = FakeProxy()
    with trio.fail_after(30):
        async with serving(proxy) as bound:
            async with talking(bound), talking(bound):
                assert await knock(bound) == 503
                for _ in range(8):
                    assert (await ask(bound, "POST", "/groups/payments/devices/hsm1/drain")).status == 200
            assert proxy.told[-1] == ("payments", "hsm1", Will.DRAIN)
            while await knock(bound) != 101:  # the ends of those two are seen a little later
                await trio.sleep(0.01)


async def test_both_work_over_tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "admin.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    authority.issue_cert("client").configure_cert(context)
    seen: list[Request] = []

    async def talk(request: Request, socket: WebSocketConnection) -> None:
        seen.append(request)
        await echo(request, socket)

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"line"
        await trio.sleep_forever()

    with_route(monkeypatch, websocket(talk), stream(chunks))
    tls = AdminTls(certificate=tmp_path / "admin.pem", ca=(tmp_path / "ca.pem",))
    with trio.fail_after(30):
        async with serving(admin=Admin(bind=ANY_PORT, tls=tls)) as bound:
            async with talking(bound, context) as socket:
                await socket.send_message("hello")
                assert await socket.get_message() == "hello"
            client = await trio.open_ssl_over_tcp_stream(bound.host, bound.port, ssl_context=context)
            await client.send_all(LINES)
            received = b""
            while b"line" not in received:
                received += await client.receive_some()
            await trio.aclose_forcefully(client)
    assert seen[0].actor.source == "127.0.0.1"
