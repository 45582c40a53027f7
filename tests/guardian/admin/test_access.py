from __future__ import annotations

import attrs
import pytest

from guardian.admin.access import Access, Token, is_loopback
from guardian.admin.message import Request, Response, Role
from guardian.events import Actor

OPERATOR = Token(name="operator", role=Role.OPERATE, secret=b"s3cret")
WATCHER = Token(name="wall", role=Role.VIEW, secret=b"only looks")
OPEN = Access(tokens=[], names=["127.0.0.1"])
CLOSED = Access(tokens=[WATCHER, OPERATOR], names=["0.0.0.0"])


def change(host: str | None = "127.0.0.1:9190", body: bytes = b"", local: str = "127.0.0.1", **headers: str) -> Request:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    if host is not None:
        named.append(("host", host))
    return Request(
        method="POST",
        target="/",
        headers=tuple(named),
        body=body,
        local_host=local,
        actor=Actor(name="loopback", source="127.0.0.1"),
        role=Role.OPERATE,
    )


def refuse(access: Access, request: Request) -> Response | None:
    return access.refuse_host(request, probe=False) or access.refuse_origin(request) or access.refuse_kind(request)


@pytest.mark.parametrize("given", ["Bearer s3cret", "bearer s3cret", "BEARER   s3cret"])
def test_the_token_opens(given: str) -> None:
    known = CLOSED.recognise(change(authorization=given))
    assert (known.actor, known.role) == (Actor(name="operator", source="127.0.0.1"), Role.OPERATE)
    assert not CLOSED.needs_token(known)


def test_a_token_may_give_less_than_the_connection_and_never_more() -> None:
    seen = CLOSED.recognise(change(authorization="Bearer only looks"))
    assert (seen.actor.name, seen.role) == ("wall", Role.VIEW)
    limited = attrs.evolve(change(authorization="Bearer s3cret"), role=Role.VIEW)
    assert CLOSED.recognise(limited).role is Role.VIEW


def test_a_certificate_is_told_beside_the_token() -> None:
    shown = attrs.evolve(change(authorization="Bearer s3cret"), actor=Actor(name="laptop-7", source="10.0.0.9"))
    assert CLOSED.recognise(shown).actor == Actor(name="operator (laptop-7)", source="10.0.0.9")


@pytest.mark.parametrize("offered", ["guardian, guardian.bearer.czNjcmV0", "guardian.bearer.czNjcmV0"])
def test_a_page_brings_the_token_as_a_subprotocol(offered: str) -> None:
    assert CLOSED.recognise(change(sec_websocket_protocol=offered)).role is Role.OPERATE


@pytest.mark.parametrize("offered", ["guardian", "guardian.bearer.", "guardian.bearer.!", "guardian.bearer.s3cret"])
def test_another_subprotocol_is_no_token(offered: str) -> None:
    assert CLOSED.needs_token(change(sec_websocket_protocol=offered))


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic s3cret",
        "s3cret",
        "Bearer s3cre",
        "Bearer s3crett",
        "Bearer \xff",
    ],
)
def test_anything_else_opens_nothing(given: str) -> None:
    request = change(authorization=given)
    assert CLOSED.needs_token(request)
    assert CLOSED.recognise(request).role is Role.OPEN
    assert CLOSED.recognise(change()).role is Role.OPEN


def test_two_authorizations_are_none() -> None:
    request = Request(
        method="GET", target="/", headers=(("authorization", "Bearer s3cret"), ("authorization", "Bearer x"))
    )
    assert CLOSED.needs_token(request)


def test_without_a_token_file_none_is_asked_for() -> None:
    assert not OPEN.needs_token(change())
    assert OPEN.recognise(change()).role is Role.OPERATE


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9190", "localhost:9190", "LOCALHOST", "[::1]:9190"])
def test_loopback_names_are_ours(host: str) -> None:
    assert refuse(OPEN, change(host)) is None


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:9190",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil",
        "evil@127.0.0.1",
        "127.0.0.1:99999",
        "127.0.0.1:x",
        "127.0.0.1/x",
        "[::1",
        "127.0.0.1, evil",
        "0.0.0.0",
        "10.0.0.5",
    ],
)
def test_other_names_are_foreign(host: str | None) -> None:
    refused = refuse(OPEN, change(host))
    assert refused is not None
    assert refused.status == 403


def test_a_name_in_dns_needs_the_token_and_a_way_from_outside() -> None:
    assert refuse(CLOSED, change("guardian.svc:9190", local="10.0.0.5")) is None
    assert refuse(CLOSED, change("guardian.svc:9190", local="127.0.0.1")) is not None
    by_certificate = Access(tokens=[], names=["0.0.0.0", "guardian.example"])
    assert refuse(by_certificate, change("guardian.example", local="10.0.0.5")) is None
    assert refuse(by_certificate, change("10.0.0.5:9190", local="10.0.0.5")) is None
    assert refuse(by_certificate, change("evil.example", local="10.0.0.5")) is not None
    assert refuse(by_certificate, change("localhost", local="10.0.0.5")) is not None


@pytest.mark.parametrize(
    ("host", "welcome"), [(None, True), ("10.0.0.5:9190", True), ("[fd00::5]", True), ("a", False)]
)
def test_a_probe_may_come_by_any_address_or_none_but_not_by_a_name(host: str | None, welcome: bool) -> None:
    """A browser that was tricked by DNS sends the name; a balancer's HTTP/1.0 check has no Host."""
    assert (OPEN.refuse_host(change(host), probe=True) is None) is welcome
    assert OPEN.refuse_host(change(host), probe=False) is not None


def test_a_link_to_the_page_may_be_followed() -> None:
    link = attrs.evolve(
        change(sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="document"), method="GET"
    )
    assert OPEN.refuse_origin(link) is None
    assert OPEN.refuse_origin(attrs.evolve(link, method="POST")) is not None
    framed = attrs.evolve(change(sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="iframe"))
    assert OPEN.refuse_origin(attrs.evolve(framed, method="GET")) is not None


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://127.0.0.1",
        "http://127.0.0.1:8000",
        "https://127.0.0.1:9190",
        "127.0.0.1:9190",
    ],
)
def test_a_foreign_origin_is_refused(origin: str) -> None:
    refused = refuse(OPEN, change(origin=origin))
    assert refused is not None
    assert refused.status == 403


def test_our_own_page_may_change() -> None:
    assert refuse(OPEN, change(origin="http://127.0.0.1:9190", sec_fetch_site="same-origin")) is None
    assert refuse(OPEN, change(sec_fetch_site="cross-site")) is not None


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"])
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_what_a_form_can_send_is_refused(kind: str, body: bytes) -> None:
    refused = refuse(OPEN, change(body=body, content_type=kind))
    assert refused is not None
    assert refused.status == 415


def test_json_or_nothing_is_taken() -> None:
    assert refuse(OPEN, change(body=b"{}", content_type="application/json; charset=utf-8")) is None
    assert refuse(OPEN, change(body=b"")) is None
    assert refuse(OPEN, change(body=b"{}")) is not None


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("x", False),
    ],
)
def test_loopback(host: str, is_it: bool) -> None:
    assert is_loopback(host) is is_it
