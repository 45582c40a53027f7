"""What each path answers, over real loopback sockets."""

from __future__ import annotations

from pathlib import Path

import pytest

from balancer.snapshot import ProxyState, Will
from config.credentials import CredentialError
from config.model import Admin, Bind
from guardian.admin.server import serve_admin
from health.state import Health
from tests.support import operable
from tests.support.admin_port import ANY_PORT, DRAIN, ask, serving
from tests.support.operable import FakeProxy


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
    assert status["data_path"] in {"compiled", "interpreted"}
    (listener,) = status["listeners"]
    assert (listener["name"], listener["bind"], listener["connections"]) == ("excrypt", "127.0.0.1:9100", 13)


async def test_status_shows_each_worker_where_there_are_several() -> None:
    workers = (operable.worker(1), operable.worker(2, up=False, pid=0, restarts=2))
    async with serving(FakeProxy(operable.proxy(workers=workers))) as bound:
        first, second = (await ask(bound, "GET", "/status")).json["workers"]
    assert first == {
        "number": 1, "up": True, "pid": 4001, "started": "2026-09-21T14:13:20.000Z", "restarts": 0,
        "connections": 13, "outstanding": 3, "requests": 98, "cpu_seconds": 12.5, "memory": 60_000_000,
    }  # fmt: skip
    assert (second["up"], second["pid"], second["started"], second["restarts"]) == (False, None, None, 2)
    async with serving() as bound:
        assert (await ask(bound, "GET", "/status")).json["workers"] == []


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
        for target in ("/feed", "/status", "/metrics", "/nothing"):
            assert (await ask(bound, "GET", target)).status == 401
            assert (await ask(bound, "GET", target, authorization="Bearer wrong")).status == 401
        assert (await ask(bound, "POST", DRAIN)).status == 401
        assert proxy.told == []
        assert (await ask(bound, "GET", "/status", authorization="Bearer s3cret")).status == 200
        assert (await ask(bound, "POST", DRAIN, authorization="Bearer s3cret")).status == 200


async def test_an_empty_token_file_is_no_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(CredentialError, match="empty"):
        await serve_admin(Admin(bind=ANY_PORT, token_file=tmp_path / "token"), FakeProxy())


async def test_an_address_open_to_others_needs_protection() -> None:
    with pytest.raises(CredentialError, match="open to other machines"):
        await serve_admin(Admin(bind=Bind(host="0.0.0.0", port=0)), FakeProxy())
