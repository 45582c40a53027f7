"""No client can harm another, nor the proxy: limits, deadlines, garbage, over real loopback sockets."""

from __future__ import annotations

import errno
import random
from typing import Any

import pytest
import structlog
import trio

from config.model import Admin
from guardian.admin import room
from guardian.admin.connection import BODY_LIMIT, HEAD_LIMIT, Connection
from guardian.admin.server import serve_admin
from tests.support import operable
from tests.support.admin_port import DRAIN, PATIENT, QUICK, ask, exchange, parse, serving
from tests.support.hostile import attack
from tests.support.operable import FakeProxy


async def test_the_real_port_is_reported_and_a_taken_one_raises() -> None:
    async with serving() as bound:
        assert bound.port > 0
        with pytest.raises(OSError, match="in use"):
            await serve_admin(Admin(bind=bound), FakeProxy())


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", 431),
        (b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 2 * HEAD_LIMIT + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 2 * HEAD_LIMIT, 431),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: b\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX\xc3\xa4: y\r\n\r\n", 400),
        (b"GET /livez HTTP/3.0\r\nHost: 127.0.0.1\r\n\r\n", 505),
        (
            b"POST /livez HTTP/1.1\r\nHost: ::1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"POST /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n", 413),
        (b"POST /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n", 400),
        (
            b"POST /livez HTTP/1.1\r\nHost: ::1\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n" + b"x" * 8192 + b"\r\n",
            None,
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"[AOECHO;AG1;]", 400),
        (b"\r\n\r\n\r\n", 400),
        (b"GET /livez", 400),
        (b"", None),
    ],
)
async def test_a_broken_request_is_refused_and_the_next_one_served(raw: bytes, status: int | None) -> None:
    async with serving(times=QUICK) as bound:
        answer = await exchange(bound, raw)
        if status is not None:
            assert parse(answer).status == status
        assert (await ask(bound, "GET", "/livez")).status == 200


async def test_a_chunked_body_is_bounded_too() -> None:
    chunk = b"2000\r\n" + b"x" * 8192 + b"\r\n"
    raw = b"POST " + DRAIN.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(times=QUICK) as bound:
        answer = await exchange(bound, raw + chunk * (BODY_LIMIT // 8192 + 1) + b"0\r\n\r\n")
    assert parse(answer).status == 413


async def test_a_connection_serves_several_requests_also_pipelined() -> None:
    one = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    async with serving() as bound:
        answers = await exchange(
            bound, one * 3 + one.replace(b"Host: 127.0.0.1", b"Host: 127.0.0.1\r\nConnection: close")
        )
    assert answers.count(b"HTTP/1.1 200") == 4


async def test_expect_continue_is_answered() -> None:
    async with serving() as bound:
        stream = await trio.open_tcp_stream(bound.host, bound.port)
        async with stream:
            head = (
                f"POST {DRAIN} HTTP/1.1\r\nHost: {bound}\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
            )
            await stream.send_all(f"{head}Content-Length: 2\r\n\r\n".encode())
            with trio.fail_after(30):
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 100")
                await stream.send_all(b"{}")
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


async def test_a_dripping_request_is_ended_by_a_deadline_for_the_whole() -> None:
    async with serving(times=QUICK) as bound:
        stream = await trio.open_tcp_stream(bound.host, bound.port)
        async with stream:
            began = trio.current_time()
            received = b""
            with trio.fail_after(30):
                async with trio.open_nursery() as nursery:

                    async def drip() -> None:
                        try:
                            for letter in b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + b"y" * 10_000:
                                await stream.send_all(bytes([letter]))
                                await trio.sleep(0.01)
                        except trio.BrokenResourceError:
                            pass

                    nursery.start_soon(drip)
                    while data := await stream.receive_some():
                        received += data
                    nursery.cancel_scope.cancel()
            assert parse(received).status == 408
            assert trio.current_time() - began < 30  # of the 100 that it would have dripped


async def test_a_fault_of_ours_is_500_and_told_to_the_log_only() -> None:
    class Broken(FakeProxy):
        def snapshot(self) -> Any:
            raise RuntimeError("inner secret")

    with structlog.testing.capture_logs() as logged:
        async with serving(Broken()) as bound:
            answer = await ask(bound, "GET", "/status")
            assert (await ask(bound, "GET", "/livez")).status == 200
    assert answer.status == 500
    assert b"inner" not in answer.body
    assert [event["event"] for event in logged] == ["admin request failed"]


async def test_a_fault_in_a_connection_ends_that_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    real, faults = Connection.serve, 1

    async def serve(connection: Connection) -> None:
        nonlocal faults
        if faults:
            faults -= 1
            raise RuntimeError("made up")
        await real(connection)

    monkeypatch.setattr(Connection, "serve", serve)
    with structlog.testing.capture_logs() as logged:
        async with serving() as bound:
            assert await exchange(bound, b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") == b""
            assert (await ask(bound, "GET", "/livez")).status == 200
    assert [event["event"] for event in logged] == ["admin connection failed"]


async def test_connections_that_ended_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CONNECTIONS", 2)
    async with serving() as bound:
        waiting = await trio.open_tcp_stream(bound.host, bound.port)
        for _ in range(5):
            assert (await ask(bound, "GET", "/livez")).status == 200
            await trio.testing.wait_all_tasks_blocked(0.02)
        await waiting.send_all(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        with trio.fail_after(30):
            assert (await waiting.receive_some()).startswith(b"HTTP/1.1 200")
        await waiting.aclose()


async def test_when_it_is_full_the_one_waiting_longest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CONNECTIONS", 3)
    async with serving() as bound:
        silent = [await trio.open_tcp_stream(bound.host, bound.port) for _ in range(3)]
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert (await ask(bound, "GET", "/livez")).status == 200
        with trio.fail_after(30):
            assert await silent[0].receive_some() == b""
        for stream in silent[1:]:
            await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            with trio.fail_after(30):
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        for stream in silent:
            await stream.aclose()


async def test_a_full_port_of_readers_that_do_not_read_lets_others_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CONNECTIONS", 2)
    many = operable.proxy(
        operable.group("payments", *(operable.device(f"hsm{n}", reason="x" * 2000) for n in range(2000)))
    )
    async with serving(FakeProxy(many)) as bound:
        deaf = [await trio.open_tcp_stream(bound.host, bound.port) for _ in range(2)]
        for stream in deaf:
            await stream.send_all(b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        with trio.fail_after(0.8 * PATIENT.write):  # their answers are made first: until then nobody has to go
            while not (await exchange(bound, f"GET /livez HTTP/1.1\r\nHost: {bound}\r\n\r\n".encode())):
                await trio.sleep(0.05)
        for stream in deaf:
            await trio.aclose_forcefully(stream)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.ENOBUFS])
async def test_a_failing_accept_does_not_end_the_server(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = trio.SocketListener.accept
    failures = 2

    async def accept(listener: trio.SocketListener) -> trio.SocketStream:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(code, "made up")
        return await real(listener)

    monkeypatch.setattr(trio.SocketListener, "accept", accept)
    with structlog.testing.capture_logs() as logged:
        async with serving() as bound:
            assert (await ask(bound, "GET", "/livez")).status == 200
    assert [event["event"] for event in logged] == ["admin cannot accept"]  # once a second, not each time


def test_hostile_connections_leave_it_alive_and_empty() -> None:
    """`make soak` makes 20,000."""
    trio.run(attack, 1_500, random.randrange(2**32))
