"""`/learning`: who may start a lesson, with what, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.model import Admin
from tests.support.admin_port import ANY_PORT, ask, serving
from tests.support.core import FakeGroup
from tests.support.operable import FakeProxy

JSON = {"content_type": "application/json"}
TEN = b'{"for": "10m"}'


def proxy() -> FakeProxy:
    payments, keys = FakeGroup().ready().group, FakeGroup().ready().group
    keys.name = "keys"
    return FakeProxy(groups={"payments": payments, "keys": keys})


async def test_a_lesson_from_start_to_end() -> None:
    watched = proxy()
    async with serving(watched) as bound:
        before = await ask(bound, "GET", "/learning")
        assert (before.status, before.json["state"]) == (200, "none")
        begun = await ask(bound, "POST", "/learning", b'{"for": "10m", "group": "payments"}', **JSON)
        assert begun.status == 200
        assert (begun.json["state"], begun.json["number"], begun.json["for"]) == ("watching", 1, 600)
        meanwhile = await ask(bound, "GET", "/learning")
        assert meanwhile.json["state"] == "watching"
        assert "groups" not in meanwhile.json
        stopped = await ask(bound, "POST", "/learning/stop")
        assert (stopped.status, stopped.json["state"]) == (200, "done")
        after = await ask(bound, "GET", "/learning")
    assert after.json["state"] == "done"
    assert after.json["groups"].keys() == {"payments"}
    assert "sessions, not seen" in after.json["groups"]["payments"]["yaml"]


async def test_who_starts_and_stops_it_is_told() -> None:
    watched = proxy()
    heard = []
    watched.events.subscribe(heard.append)
    async with serving(watched) as bound:
        await ask(bound, "POST", "/learning", b'{"for": "10m", "group": "payments"}', **JSON)
        await ask(bound, "POST", "/learning/stop")
    assert [(event.kind.value, event.what, event.result, event.detail) for event in heard] == [
        ("operator", "learning", "started", "payments"),
        ("operator", "learning", "stopped", ""),
    ]
    assert {event.source for event in heard} == {"127.0.0.1"}


async def test_it_ends_though_nobody_asks() -> None:
    watched = proxy()
    async with serving(watched) as bound:
        await ask(bound, "POST", "/learning", b'{"for": "1s"}', **JSON)
        while not watched.lessons.ended:
            await ask(bound, "GET", "/livez")
        assert (await ask(bound, "GET", "/learning")).json["groups"].keys() == {"payments", "keys"}


async def test_a_second_lesson_is_409() -> None:
    async with serving(proxy()) as bound:
        assert (await ask(bound, "POST", "/learning", TEN, **JSON)).status == 200
        again = await ask(bound, "POST", "/learning", TEN, **JSON)
    assert again.status == 409
    assert "somebody is learning already" in again.json["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"for": "10m"}', 200),
        (b'{"for": "24h"}', 200),
        (b'{"for": "1s", "group": null}', 200),
        (b'{"for": "1s", "group": "spare"}', 404),
        (b'{"for": "1s", "group": "../x"}', 400),
        (b'{"for": "1s", "group": 7}', 400),
        (b'{"for": "25h"}', 400),
        (b'{"for": "500ms"}', 400),
        (b'{"for": "10"}', 400),
        (b'{"for": 10}', 400),
        (b'{"for": "1s", "more": 1}', 400),
        (b"{}", 400),
        (b"[]", 400),
        (b"{", 400),
        (b"[" * 60_000, 400),
        (b"", 400),
    ],
)
async def test_what_may_be_asked_for(body: bytes, status: int) -> None:
    watched = proxy()
    async with serving(watched) as bound:
        answer = await ask(bound, "POST", "/learning", body, **(JSON if body else {}))
    assert answer.status == status
    assert (watched.lessons.facts["state"] == "watching") is (status == 200)


@pytest.mark.parametrize("path", ["/learning", "/learning/stop"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
    ],
)
async def test_a_foreign_page_can_neither_start_nor_stop_it(path: str, headers: dict[str, str], status: int) -> None:
    watched = proxy()
    if path != "/learning":
        watched.lessons.start(None, 60)
    before = watched.lessons.facts["state"]
    async with serving(watched) as bound:
        answer = await ask(bound, "POST", path, TEN if path == "/learning" else b"", **JSON, **headers)
    assert answer.status == status
    assert watched.lessons.facts["state"] == before


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/learning", "GET, HEAD, POST"),
        ("DELETE", "/learning", "GET, HEAD, POST"),
        ("GET", "/learning/stop", "POST"),
    ],
)
async def test_other_methods_are_405(method: str, path: str, allow: str) -> None:
    async with serving(proxy()) as bound:
        answer = await ask(bound, method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allow)


async def test_it_needs_the_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret")
    watched = proxy()
    async with serving(watched, Admin(bind=ANY_PORT, token_file=file)) as bound:
        assert (await ask(bound, "POST", "/learning", TEN, **JSON)).status == 401
        assert (await ask(bound, "GET", "/learning")).status == 401
        assert (await ask(bound, "POST", "/learning/stop")).status == 401
        assert (await ask(bound, "POST", "/learning", TEN, authorization="Bearer s3cret", **JSON)).status == 200
