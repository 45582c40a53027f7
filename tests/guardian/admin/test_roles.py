"""Who may do what: tokens and certificates with a role, each route of the table, and what is told of refusals."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
import trio
import trustme

from config.model import Admin, AdminClient, AdminRole, AdminTls, AdminToken, Bind, Match, UnixBind
from guardian.admin import server
from guardian.admin.keys import read_keys
from guardian.admin.message import Request, Response, Role
from guardian.admin.route import Route
from guardian.admin.routes import all_routes
from guardian.admin.server import AdminServer
from guardian.events import Actor, Event, Kind
from tests.support.admin_port import ANY_PORT, DRAIN, LOOPBACK, QUICK, ask, parse, running, serving
from tests.support.operable import FakeProxy

ROUTES = all_routes(FakeProxy(), "1")
CLOSED = [route for route in ROUTES if route.role is not Role.OPEN]
CHANGES = [route for route in ROUTES if route.role is Role.OPERATE]
WALL, NIGHT = {"authorization": "Bearer wall-secret"}, {"authorization": "Bearer night-secret"}


def path_of(route: Route) -> str:
    """One path that the route answers."""
    return re.sub(r"\{([a-z_]+)(?::([a-z]+)[a-z|]*)?\}", lambda match: match[2] or "hsm1", route.path).replace(
        "/groups/hsm1", "/groups/payments"
    )


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture
def tokens(tmp_path: Path) -> Admin:
    for name in ("wall", "night"):
        (tmp_path / name).write_text(f"{name}-secret\n")
    return Admin(
        bind=ANY_PORT,
        tokens=(
            AdminToken(name="wall", role=AdminRole.VIEW, file=tmp_path / "wall"),
            AdminToken(name="night-shift", role=AdminRole.OPERATE, file=tmp_path / "night"),
        ),
    )


def operators(proxy: FakeProxy) -> list[Event]:
    told: list[Event] = []
    proxy.events.subscribe(lambda event: told.append(event) if event.kind is Kind.OPERATOR else None)
    return told


def test_the_table_has_what_changes_something() -> None:
    assert {route.path for route in CHANGES} >= {
        "/groups/{group}/devices/{device}/{will:ready|drain|maint}",
        "/learning",
        "/learning/stop",
    }
    assert {route.method for route in CHANGES} == {"POST"}
    assert {route.role for route in ROUTES if route.method != "POST"} == {Role.OPEN, Role.VIEW}


@pytest.mark.parametrize("route", CHANGES, ids=named)
async def test_who_may_only_look_changes_nothing(route: Route, tokens: Admin) -> None:
    proxy = FakeProxy()
    told = operators(proxy)
    async with serving(proxy, tokens) as bound:
        refused = await ask(bound, "POST", path_of(route), **WALL)
        assert (refused.status, refused.json["error"]) == (403, "this needs the role operate; wall may view only")
        assert (await ask(bound, "POST", path_of(route), **NIGHT)).status not in (401, 403, 405)
    refusal = told[0]  # what is then changed may be told of too
    assert (refusal.who, refusal.result, refusal.what) == ("wall", "role", f"POST {route.plain_path}")


@pytest.mark.parametrize("route", CLOSED, ids=named)
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic d2FsbC1zZWNyZXQ="}]
)
async def test_no_route_opens_without_its_token(route: Route, headers: dict[str, str], tokens: Admin) -> None:
    async with serving(FakeProxy(), tokens) as bound:
        assert (await ask(bound, route.method, path_of(route), **headers)).status == 401


@pytest.mark.parametrize("route", ROUTES, ids=named)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example", "origin": "http://evil.example"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
    ],
)
async def test_every_route_refuses_a_foreign_page(route: Route, headers: dict[str, str], status: int) -> None:
    proxy = FakeProxy()
    told = operators(proxy)
    async with serving(proxy) as bound:
        assert (await ask(bound, route.method, path_of(route), **headers)).status == status
    assert [event.result for event in told] == ["origin" if "host" not in headers else "host"]
    assert proxy.told == []


@pytest.mark.parametrize("route", CHANGES, ids=named)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_every_change_refuses_what_a_form_can_send(route: Route, kind: str) -> None:
    proxy = FakeProxy()
    async with serving(proxy) as bound:
        headers = {"content_type": kind} if kind else {}
        assert (await ask(bound, "POST", path_of(route), b'{"for": "1s"}', **headers)).status == 415
    assert (proxy.told, proxy.lessons.facts["state"]) == ([], "none")


@pytest.mark.parametrize("route", [route for route in CLOSED if not route.query], ids=named)
async def test_a_token_is_not_taken_from_the_url(route: Route, tokens: Admin) -> None:
    async with serving(FakeProxy(), tokens) as bound:
        target = f"{path_of(route)}?token=night-secret&access_token=night-secret"
        assert (await ask(bound, route.method, target)).status == 401
        assert (await ask(bound, route.method, target, **NIGHT)).status == 400  # and nobody may try


async def test_who_did_it_goes_with_the_change(tokens: Admin) -> None:
    proxy = FakeProxy()
    async with serving(proxy, tokens) as bound:
        await ask(bound, "POST", DRAIN, **NIGHT)
    (event,) = proxy.events.since(0)
    assert (event.kind, event.who, event.source) == (Kind.WILL, "night-shift", "127.0.0.1")


async def test_refusals_are_bounded_and_say_no_secret() -> None:
    proxy = FakeProxy()
    told = operators(proxy)
    with structlog.testing.capture_logs() as logged:
        async with serving(proxy) as bound:
            for _ in range(30):
                await ask(bound, "POST", DRAIN, host="evil.example", authorization="Bearer guessed-secret")
    assert 1 <= len(told) < 30
    assert "guessed" not in repr(told) + repr(logged)


async def test_tokens_are_read_again_and_who_lost_theirs_loses_the_stream_too(
    tokens: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = trio.Event()

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield b"begun"
            await trio.sleep_forever()
        finally:
            ended.set()

    async def handler(_request: Request) -> Response:
        return Response(status=200, content_type="text/plain", stream=chunks())

    lines = Route(method="GET", path="/lines", role=Role.VIEW, summary="Lines", handler=handler)
    monkeypatch.setattr(server, "all_routes", lambda *given: [*all_routes(*given), lines])
    admin_server = AdminServer(tokens, read_keys(tokens), FakeProxy(), QUICK)
    async with running(admin_server) as bound:
        assert isinstance(bound, Bind)
        watching = [await trio.open_tcp_stream(bound.host, bound.port) for _ in range(2)]
        for stream, secret in zip(watching, (b"wall-secret", b"night-secret"), strict=True):
            await stream.send_all(
                b"GET /lines HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + secret + b"\r\n\r\n"
            )
            received = b""
            with trio.fail_after(30):
                while b"begun" not in received:
                    received += await stream.receive_some()
        (tmp_path / "wall").write_text("another-secret")
        admin_server.adopt(tokens, read_keys(tokens))
        with trio.fail_after(30):
            await ended.wait()
            assert await watching[0].receive_some() == b""
        with trio.move_on_after(0.2) as still:
            await watching[1].receive_some()
        assert still.cancelled_caught
        assert (await ask(bound, "GET", "/status", **WALL)).status == 401
        assert (await ask(bound, "GET", "/status", authorization="Bearer another-secret")).status == 200
        for stream in watching:
            await trio.aclose_forcefully(stream)


async def test_a_reload_cannot_leave_a_port_open_that_others_reach(tokens: Admin) -> None:
    wide = Admin(bind=Bind(host="0.0.0.0", port=0), tokens=tokens.tokens)
    admin_server = AdminServer(wide, read_keys(wide), FakeProxy(), QUICK)
    with structlog.testing.capture_logs() as logged:
        async with running(admin_server) as bound:
            assert isinstance(bound, Bind)
            admin_server.adopt(LOOPBACK, read_keys(LOOPBACK))  # the new bind needs a restart
            here = Bind(host="127.0.0.1", port=bound.port)
            assert (await ask(here, "GET", "/status")).status == 401
    assert "open to others" in logged[0]["event"]


def client_of(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    authority.issue_cert(f"{name}.example", common_name=name).configure_cert(context)
    return context


async def ask_tls(bound: Bind, context: ssl.SSLContext, method: str, target: str) -> int:
    stream = await trio.open_ssl_over_tcp_stream("127.0.0.1", bound.port, ssl_context=context, https_compatible=True)
    received = b""
    with trio.fail_after(30):
        await stream.send_all(f"{method} {target} HTTP/1.1\r\nHost: {bound}\r\nConnection: close\r\n\r\n".encode())
        async for data in stream:
            received += data
    await trio.aclose_forcefully(stream)
    return parse(received).status


async def test_certificates_have_roles(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "admin.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = AdminTls(certificate=tmp_path / "admin.pem", ca=(tmp_path / "ca.pem",))
    ruled = Admin(
        bind=ANY_PORT,
        tls=tls,
        clients=(
            AdminClient(match=Match(common_name="night"), role=AdminRole.OPERATE),
            AdminClient(match=Match(san="wall.example"), role=AdminRole.VIEW),
        ),
    )
    proxy = FakeProxy()
    told = operators(proxy)
    night, wall, other = (client_of(authority, name) for name in ("night", "wall", "other"))
    async with serving(proxy, ruled, QUICK) as bound:
        found = {
            (name, method): await ask_tls(bound, context, method, target)
            for name, context in (("night", night), ("wall", wall), ("other", other))
            for method, target in (("GET", "/status"), ("POST", DRAIN))
        }
    assert found == {
        ("night", "GET"): 200,
        ("night", "POST"): 200,
        ("wall", "GET"): 200,
        ("wall", "POST"): 403,
        ("other", "GET"): 403,
        ("other", "POST"): 403,
    }
    assert ("wall", "127.0.0.1") in [(event.who, event.source) for event in told]
    (changed,) = proxy.events.since(0)
    assert Actor(name=changed.who, source=changed.source) == Actor(name="night", source="127.0.0.1")
    async with serving(proxy, Admin(bind=ANY_PORT, tls=tls), QUICK) as bound:
        assert await ask_tls(bound, other, "POST", DRAIN) == 200  # without rules every certificate of the CA may


async def test_a_connection_whose_certificate_passes_no_more_is_answered_no_more(tmp_path: Path) -> None:
    authority, another = trustme.CA(), trustme.CA()
    for name, made in (("one", authority), ("two", another)):
        made.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / f"{name}.pem"))
        made.cert_pem.write_to_path(str(tmp_path / f"{name}-ca.pem"))
    before, after = (
        Admin(bind=ANY_PORT, tls=AdminTls(certificate=tmp_path / f"{name}.pem", ca=(tmp_path / f"{name}-ca.pem",)))
        for name in ("one", "two")
    )
    admin_server = AdminServer(before, read_keys(before), FakeProxy())
    async with running(admin_server) as bound:
        assert isinstance(bound, Bind)
        stream = await trio.open_ssl_over_tcp_stream(
            bound.host, bound.port, ssl_context=client_of(authority, "night"), https_compatible=True
        )
        asked = f"GET /status HTTP/1.1\r\nHost: {bound}\r\n\r\n".encode()
        with trio.fail_after(30):
            await stream.send_all(asked)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
            admin_server.adopt(after, read_keys(after))
            received = b""
            while b"HTTP/1.1 403" not in received:
                await stream.send_all(asked) if not received else None
                received += await stream.receive_some()
        await trio.aclose_forcefully(stream)


async def test_the_server_follows_the_reloads_of_its_proxy(tokens: Admin, tmp_path: Path) -> None:
    proxy = FakeProxy()

    async def serve(*, task_status: trio.TaskStatus[Bind | UnixBind]) -> None:
        await server.serve_admin(tokens, proxy, times=QUICK, task_status=task_status)

    async with trio.open_nursery() as nursery:
        bound = await nursery.start(serve)
        assert (await ask(bound, "GET", "/status", **WALL)).status == 200
        (tmp_path / "wall").write_text("another-secret")
        for adopter in proxy.adopters:
            adopter(SimpleNamespace(config=SimpleNamespace(admin=tokens), keys=read_keys(tokens)))  # type: ignore[arg-type]
        assert (await ask(bound, "GET", "/status", **WALL)).status == 401
        nursery.cancel_scope.cancel()
    assert proxy.adopters == []
