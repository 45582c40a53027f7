"""The admin port over real loopback sockets: what a client gets, and that no client can harm another."""

from __future__ import annotations

import errno
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog
import trio
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balancer.snapshot import ProxyState, Will
from config.model import Admin, AdminTls, Bind
from guardian.admin import server as server_module
from guardian.admin.connection import BODY_LIMIT, HEAD_LIMIT, Times
from guardian.admin.server import serve_admin
from health.state import Health
from tests.support import operable
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
    async with trio.open_nursery() as nursery:

        async def start(*, task_status: trio.TaskStatus[Bind]) -> None:
            await serve_admin(admin, proxy or FakeProxy(), times=times, task_status=task_status)

        bound = await nursery.start(start)
        yield bound
        nursery.cancel_scope.cancel()


async def exchange(bound: Bind, raw: bytes) -> bytes:
    """Send these bytes, and give all that comes until the server closes."""
    stream = await trio.open_tcp_stream(bound.host, bound.port)
    async with stream:
        received = b""
        with trio.fail_after(10):
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


async def test_livez_answers_whatever_the_state() -> None:
    proxy = FakeProxy(operable.proxy(operable.group("payments", operable.device(in_service=False))))
    async with serving(proxy) as bound:
        assert (await ask(bound, "GET", "/livez")).status == 200


async def test_readyz_says_ready() -> None:
    async with serving() as bound:
        answer = await ask(bound, "GET", "/readyz")
    assert (answer.status, answer.json) == (200, {"ready": True, "reasons": []})


async def test_readyz_says_why_not() -> None:
    down = operable.device("hsm1", in_service=False, health=Health.DOWN)
    away = operable.device("hsm2", in_service=False, will=Will.MAINT)
    snapshot = operable.proxy(operable.group("payments", down, away), state=ProxyState.DRAINING)
    async with serving(FakeProxy(snapshot)) as bound:
        answer = await ask(bound, "GET", "/readyz")
    assert answer.status == 503
    assert answer.json["reasons"] == [
        "the proxy is draining",
        "group payments has no usable device: hsm1 down, hsm2 up (maint)",
    ]


async def test_status_is_as_promised() -> None:
    async with serving() as bound:
        answer = await ask(bound, "GET", "/status")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    status = answer.json
    assert status["state"] == "serving"
    (group,) = status["groups"]
    assert group["name"] == "payments"
    promised = {
        "name": "hsm1",
        "address": "10.0.8.30:9100",
        "role": "primary",
        "will": "ready",
        "health": "up",
        "in_service": True,
        "outstanding": 3,
        "requests": 98,
        "errors": 3,
        "last_ping_ms": 2.1,
        "since": "2026-09-21T14:13:20.000Z",
        "reason": "",
    }
    device = group["devices"][0]
    assert {key: device[key] for key in promised} == promised
    assert set(device["latency_ms"]) == {"p50", "p99"}
    assert 1 < device["latency_ms"]["p50"] < device["latency_ms"]["p99"] <= 10
    (listener,) = status["listeners"]
    assert (listener["name"], listener["bind"], listener["connections"]) == ("excrypt", "127.0.0.1:9100", 13)


async def test_status_of_a_device_that_did_nothing_yet() -> None:
    fresh = operable.device(recent=operable.histogram(), last_ping=None)
    async with serving(FakeProxy(operable.proxy(operable.group("payments", fresh)))) as bound:
        answer = await ask(bound, "GET", "/status")
    device = answer.json["groups"][0]["devices"][0]
    assert (device["latency_ms"], device["last_ping_ms"]) == ({"p50": None, "p99": None}, None)


async def test_metrics_in_both_formats() -> None:
    async with serving() as bound:
        text = await ask(bound, "GET", "/metrics")
        openmetrics = await ask(bound, "GET", "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'guardian_device_outstanding{device="hsm1",group="payments"} 3.0' in text.body
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics.body.endswith(b"# EOF\n")


async def test_the_page_escapes_and_runs_nothing() -> None:
    nasty = operable.device(reason="<script>alert(1)</script>")
    async with serving(FakeProxy(operable.proxy(operable.group("payments", nasty)))) as bound:
        answer = await ask(bound, "GET", "/")
    assert answer.status == 200
    assert b"<script>" not in answer.body
    assert b"&lt;script&gt;" in answer.body
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


@pytest.mark.parametrize("will", Will)
async def test_a_post_tells_the_proxy_and_shows_the_device(will: Will) -> None:
    proxy = FakeProxy()
    async with serving(proxy) as bound:
        answer = await ask(bound, "POST", f"/groups/payments/devices/hsm1/{will.value}")
    assert answer.status == 200
    assert (answer.json["group"], answer.json["device"]["will"]) == ("payments", will.value)
    assert proxy.told == [("payments", "hsm1", will)]


@pytest.mark.parametrize("target", ["/groups/payments/devices/hsm9/drain", "/groups/other/devices/hsm1/drain"])
async def test_an_unknown_device_is_404_by_name(target: str) -> None:
    proxy = FakeProxy()
    async with serving(proxy) as bound:
        answer = await ask(bound, "POST", target)
    assert answer.status == 404
    assert "there is no device" in answer.json["error"]
    assert proxy.told == []


@pytest.mark.parametrize(
    "target",
    [
        "/nothing",
        "/status/",
        "/STATUS",
        "//status",
        "/groups",
        "/groups/payments/devices/hsm1",
        "/groups/payments/devices/hsm1/explode",
        "/../status",
        "/groups/payments/devices/../devices/hsm1/drain",
        "/groups/payments/devices/%2e%2e/drain",
        "/groups/payments/devices/hsm1/drain/..",
        "/groups/payments/devices/hsm1/%64rain",
        "http://127.0.0.1/status",
        "*",
        "/groups/payments/devices/hsm1/drain;x",
        "/groups/payments/devices//drain",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_other_paths_are_404_and_change_nothing(target: str, method: str) -> None:
    proxy = FakeProxy()
    async with serving(proxy) as bound:
        answer = await ask(bound, method, target)
    assert answer.status == 404
    assert answer.json["error"]
    assert proxy.told == []


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("POST", "/status", "GET, HEAD"),
        ("DELETE", "/livez", "GET, HEAD"),
        ("PUT", "/metrics", "GET, HEAD"),
        ("OPTIONS", "/", "GET, HEAD"),
        ("GET", DRAIN, "POST"),
        ("HEAD", DRAIN, "POST"),
        ("DELETE", DRAIN, "POST"),
        ("BREW", DRAIN, "POST"),
    ],
)
async def test_a_wrong_method_is_405_with_the_right_one(method: str, target: str, allow: str) -> None:
    proxy = FakeProxy()
    async with serving(proxy) as bound:
        answer = await ask(bound, method, target)
    assert (answer.status, answer.headers["allow"]) == (405, allow)
    assert proxy.told == []


async def test_head_is_get_without_a_body() -> None:
    async with serving() as bound:
        head, get = await ask(bound, "HEAD", "/status"), await ask(bound, "GET", "/status")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(get.body))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"content_type": "text/plain"}, 415),
    ],
)
async def test_a_foreign_change_is_refused(headers: dict[str, str], status: int) -> None:
    proxy = FakeProxy()
    async with serving(proxy) as bound:
        answer = await ask(bound, "POST", DRAIN, **headers)
    assert answer.status == status
    assert proxy.told == []


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{}", 200), (b" {} ", 200), (b"{", 400), (b'{"a":1}', 400), (b"[]", 400), (b"\xff", 400), (b"[" * 60_000, 400)],
)
async def test_only_an_empty_object_is_a_body(body: bytes, status: int) -> None:
    proxy = FakeProxy()
    async with serving(proxy) as bound:
        answer = await ask(bound, "POST", DRAIN, body, content_type="application/json")
    assert answer.status == status
    assert len(proxy.told) == (status == 200)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    return file


async def test_a_token_is_asked_for_everywhere_but_by_probes(token_file: Path) -> None:
    proxy = FakeProxy()
    async with serving(proxy, Admin(bind=ANY_PORT, token_file=token_file)) as bound:
        for target in ("/livez", "/readyz"):
            assert (await ask(bound, "GET", target)).status == 200
        for target in ("/", "/status", "/metrics", "/nothing"):
            assert (await ask(bound, "GET", target)).status == 401
            assert (await ask(bound, "GET", target, authorization="Bearer wrong")).status == 401
        assert (await ask(bound, "POST", DRAIN)).status == 401
        assert proxy.told == []
        assert (await ask(bound, "GET", "/status", authorization="Bearer s3cret")).status == 200
        assert (await ask(bound, "POST", DRAIN, authorization="Bearer s3cret")).status == 200


async def test_an_empty_token_file_is_no_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(ValueError, match="empty"):
        await serve_admin(Admin(bind=ANY_PORT, token_file=tmp_path / "token"), FakeProxy())


async def test_an_address_open_to_others_needs_protection() -> None:
    with pytest.raises(ValueError, match="open to other machines"):
        await serve_admin(Admin(bind=Bind(host="0.0.0.0", port=0)), FakeProxy())


async def test_the_real_port_is_reported_and_a_taken_one_raises() -> None:
    async with serving() as bound:
        assert bound.port > 0
        with pytest.raises(OSError, match="in use"):
            await serve_admin(Admin(bind=bound), FakeProxy())


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", 431),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 2 * HEAD_LIMIT + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 2 * HEAD_LIMIT, 431),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nX\xc3\xa4: y\r\n\r\n", 400),
        (b"GET /livez HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", 413),
        (b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (
            b"POST /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n" + b"x" * 8192 + b"\r\n",
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
    raw = b"POST " + DRAIN.encode() + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(times=QUICK) as bound:
        answer = await exchange(bound, raw + chunk * (BODY_LIMIT // 8192 + 1) + b"0\r\n\r\n")
    assert parse(answer).status == 413


async def test_a_connection_serves_several_requests_also_pipelined() -> None:
    one = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serving() as bound:
        answers = await exchange(bound, one * 3 + one.replace(b"Host: a", b"Host: a\r\nConnection: close"))
    assert answers.count(b"HTTP/1.1 200") == 4


async def test_expect_continue_is_answered() -> None:
    async with serving() as bound:
        stream = await trio.open_tcp_stream(bound.host, bound.port)
        async with stream:
            head = (
                f"POST {DRAIN} HTTP/1.1\r\nHost: {bound}\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
            )
            await stream.send_all(f"{head}Content-Length: 2\r\n\r\n".encode())
            with trio.fail_after(5):
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 100")
                await stream.send_all(b"{}")
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


async def test_a_dripping_request_is_ended_by_a_deadline_for_the_whole() -> None:
    async with serving(times=QUICK) as bound:
        stream = await trio.open_tcp_stream(bound.host, bound.port)
        async with stream:
            began = trio.current_time()
            received = b""
            with trio.fail_after(5):
                async with trio.open_nursery() as nursery:

                    async def drip() -> None:
                        try:
                            for letter in b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: " + b"y" * 10_000:
                                await stream.send_all(bytes([letter]))
                                await trio.sleep(0.01)
                        except trio.BrokenResourceError:
                            pass

                    nursery.start_soon(drip)
                    while data := await stream.receive_some():
                        received += data
                    nursery.cancel_scope.cancel()
            assert parse(received).status == 408
            assert trio.current_time() - began < 2


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


async def test_when_it_is_full_the_one_waiting_longest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS", 3)
    async with serving() as bound:
        silent = [await trio.open_tcp_stream(bound.host, bound.port) for _ in range(3)]
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert (await ask(bound, "GET", "/livez")).status == 200
        with trio.fail_after(5):
            assert await silent[0].receive_some() == b""
        for stream in silent[1:]:
            await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            with trio.fail_after(5):
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        for stream in silent:
            await stream.aclose()


async def test_a_full_port_of_readers_that_do_not_read_lets_others_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS", 2)
    many = operable.proxy(
        operable.group("payments", *(operable.device(f"hsm{n}", reason="x" * 2000) for n in range(2000)))
    )
    async with serving(FakeProxy(many)) as bound:
        deaf = [await trio.open_tcp_stream(bound.host, bound.port) for _ in range(2)]
        for stream in deaf:
            await stream.send_all(b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n")
        await trio.sleep(0.3)
        assert (await ask(bound, "GET", "/livez")).status == 200
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


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def over_tls(authority: trustme.CA, folder: Path, *, mutual: bool) -> AsyncIterator[Bind]:
    leaf = authority.issue_cert("127.0.0.1", "guardian.example")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / "admin.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls = AdminTls(certificate=folder / "admin.pem", ca=(folder / "ca.pem",) if mutual else ())
    async with serving(admin=Admin(bind=ANY_PORT, tls=tls), times=QUICK) as bound:
        yield bound


async def ask_tls(bound: Bind, context: ssl.SSLContext, request: bytes) -> bytes:
    stream = await trio.open_ssl_over_tcp_stream(bound.host, bound.port, ssl_context=context, https_compatible=True)
    received = b""
    with trio.fail_after(5):
        await stream.send_all(request)
        async for data in stream:
            received += data
    await trio.aclose_forcefully(stream)
    return received


LIVEZ = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def test_tls_shows_the_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with over_tls(authority, tmp_path, mutual=False) as bound:
        assert (await ask_tls(bound, context, LIVEZ)).startswith(b"HTTP/1.1 200")
        change = f"POST {DRAIN} HTTP/1.1\r\nHost: guardian.example\r\nConnection: close\r\n\r\n".encode()
        assert (await ask_tls(bound, context, change)).startswith(b"HTTP/1.1 200")
        assert (await ask_tls(bound, context, change.replace(b"guardian.", b"evil."))).startswith(b"HTTP/1.1 403")


async def test_mutual_tls_wants_a_certificate_of_its_ca(authority: trustme.CA, tmp_path: Path) -> None:
    async with over_tls(authority, tmp_path, mutual=True) as bound:
        for issuer, welcome in ((authority, True), (trustme.CA(), False), (None, False)):
            context = ssl.create_default_context()
            authority.configure_trust(context)
            if issuer is not None:
                issuer.issue_cert("client").configure_cert(context)
            if welcome:
                assert (await ask_tls(bound, context, LIVEZ)).startswith(b"HTTP/1.1 200")
            else:
                with suppress(trio.BrokenResourceError):  # TLS 1.3 tells a refused client late, or by a reset
                    assert await ask_tls(bound, context, LIVEZ) == b""


async def test_plain_http_and_silence_on_a_tls_port_harm_nobody(authority: trustme.CA, tmp_path: Path) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with over_tls(authority, tmp_path, mutual=False) as bound:
        await exchange(bound, LIVEZ)
        silent = await trio.open_tcp_stream(bound.host, bound.port)
        with trio.fail_after(5):
            assert await silent.receive_some() == b""  # a deadline for the handshake
        await silent.aclose()
        assert (await ask_tls(bound, context, LIVEZ)).startswith(b"HTTP/1.1 200")


PIECES = st.sampled_from(
    [
        b"GET ",
        b"POST ",
        b"/livez",
        b"/metrics",
        DRAIN.encode(),
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b"Host: a\r\n",
        b"\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: websocket\r\n",
        b"Connection: upgrade\r\n",
        b"Connection: close\r\n",
        b"Accept: application/openmetrics-text; version=x\r\n",
        b"0\r\n\r\n",
        b"CONNECT a:1",
        b"\x00",
        b"\xff\xfe",
        b" " * 500,
        b"a" * 3000,
        b"X:" + b"y" * 3000 + b"\r\n",
    ]
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(PIECES | st.binary(max_size=50), max_size=12).map(b"".join), min_size=20, max_size=30))
def test_hundreds_of_fuzzed_connections_leave_it_alive_and_empty(messages: list[bytes]) -> None:
    async def main() -> None:
        before = trio.lowlevel.current_statistics().tasks_living
        with structlog.testing.capture_logs() as logged:
            async with serving(times=QUICK) as bound:
                limit = trio.CapacityLimiter(10)

                async def send(raw: bytes) -> None:
                    async with limit:
                        await exchange(bound, raw)

                async with trio.open_nursery() as nursery:
                    for raw in messages:
                        nursery.start_soon(send, raw)
                assert (await ask(bound, "GET", "/livez")).status == 200
        assert trio.lowlevel.current_statistics().tasks_living <= before + 1  # trio's own task may have come
        assert [event["event"] for event in logged if event["log_level"] == "error"] == []

    trio.run(main)
