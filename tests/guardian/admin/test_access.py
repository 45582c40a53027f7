from __future__ import annotations

import pytest

from guardian.admin.access import Access, is_loopback
from guardian.admin.message import Request

OPEN = Access(token=None, names=["127.0.0.1"])
CLOSED = Access(token=b"s3cret", names=["0.0.0.0"])


def change(host: str | None = "127.0.0.1:9190", body: bytes = b"", local: str = "127.0.0.1", **headers: str) -> Request:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    if host is not None:
        named.append(("host", host))
    return Request(method="POST", target="/", headers=tuple(named), body=body, local_host=local)


@pytest.mark.parametrize("given", ["Bearer s3cret", "bearer s3cret", "BEARER   s3cret"])
def test_the_token_opens(given: str) -> None:
    assert CLOSED.refuse_token(change(authorization=given)) is None


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
def test_anything_else_gets_401(given: str) -> None:
    refused = CLOSED.refuse_token(change(authorization=given))
    assert refused is not None
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert CLOSED.refuse_token(change()) is not None


def test_two_authorizations_are_none() -> None:
    request = Request(
        method="GET", target="/", headers=(("authorization", "Bearer s3cret"), ("authorization", "Bearer x"))
    )
    assert CLOSED.refuse_token(request) is not None


def test_without_a_token_file_none_is_asked_for() -> None:
    assert OPEN.refuse_token(change()) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9190", "localhost:9190", "LOCALHOST", "[::1]:9190"])
def test_loopback_names_are_ours(host: str) -> None:
    assert OPEN.refuse_change(change(host)) is None


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
    refused = OPEN.refuse_change(change(host))
    assert refused is not None
    assert refused.status == 403


def test_a_name_in_dns_needs_the_token_and_a_way_from_outside() -> None:
    assert CLOSED.refuse_change(change("guardian.svc:9190", local="10.0.0.5")) is None
    assert CLOSED.refuse_change(change("guardian.svc:9190", local="127.0.0.1")) is not None
    by_certificate = Access(token=None, names=["0.0.0.0", "guardian.example"])
    assert by_certificate.refuse_change(change("guardian.example", local="10.0.0.5")) is None
    assert by_certificate.refuse_change(change("10.0.0.5:9190", local="10.0.0.5")) is None
    assert by_certificate.refuse_change(change("evil.example", local="10.0.0.5")) is not None
    assert by_certificate.refuse_change(change("localhost", local="10.0.0.5")) is not None


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
    refused = OPEN.refuse_change(change(origin=origin))
    assert refused is not None
    assert refused.status == 403


def test_our_own_page_may_change() -> None:
    assert OPEN.refuse_change(change(origin="http://127.0.0.1:9190", sec_fetch_site="same-origin")) is None
    assert OPEN.refuse_change(change(sec_fetch_site="cross-site")) is not None


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"])
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_what_a_form_can_send_is_refused(kind: str, body: bytes) -> None:
    refused = OPEN.refuse_change(change(body=body, content_type=kind))
    assert refused is not None
    assert refused.status == 415


def test_json_or_nothing_is_taken() -> None:
    assert OPEN.refuse_change(change(body=b"{}", content_type="application/json; charset=utf-8")) is None
    assert OPEN.refuse_change(change(body=b"")) is None
    assert OPEN.refuse_change(change(body=b"{}")) is not None


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
