"""Scrapes share renderings, and one that fails is nobody else's."""

from __future__ import annotations

import gzip

import pytest
import trio

from balancer.snapshot import ProxySnapshot
from guardian.admin.scrapes import FRESH, STALE, Render, Scrapes, takes_gzip
from guardian.metrics import Text
from tests.support import operable
from tests.support.admin_port import ask, serving

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Renderer:
    """Counts renderings; each waits until it may end."""

    def __init__(self, *, wait: bool = False) -> None:
        self.made: list[str] = []
        self.may_end = trio.Event()
        if not wait:
            self.may_end.set()

    async def __call__(self, _snapshot: ProxySnapshot, _version: str, accept: str) -> Text:
        self.made.append(accept)
        with trio.CancelScope(shield=True):  # as nobody cancels a thread, or a question that was asked
            await self.may_end.wait()
        return text(str(len(self.made)).encode())


def text(body: bytes, cost: float = 0.0) -> Text:
    return Text(kind="text/plain", zipped=gzip.compress(body), cost=cost)


def scrapes(renderer: Render) -> Scrapes:
    return Scrapes(operable.proxy, "1", renderer)


async def shown(shared: Scrapes, accept: str = "") -> bytes:
    return gzip.decompress((await shared.text(accept)).zipped.body)


async def test_a_hundred_at_once_cost_one_rendering() -> None:
    renderer = Renderer(wait=True)
    shared, got = scrapes(renderer), []

    async def scrape() -> None:
        got.append(await shown(shared))

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(scrape)
            await trio.testing.wait_all_tasks_blocked(0.01)
            renderer.may_end.set()
    assert got == [b"1"] * 100
    assert renderer.made == [""]


async def test_soon_after_it_is_the_same_and_then_a_new_one(autojump_clock: trio.testing.MockClock) -> None:
    renderer = Renderer()
    shared = scrapes(renderer)
    assert await shown(shared) == b"1"
    await trio.sleep(FRESH * 0.9)
    assert await shown(shared) == b"1"
    await trio.sleep(FRESH * 0.2)
    assert await shown(shared) == b"2"


async def test_long_renderings_are_made_less_often(autojump_clock: trio.testing.MockClock) -> None:
    made = 0

    async def costly(_snapshot: ProxySnapshot, _version: str, _accept: str) -> Text:
        nonlocal made
        made += 1
        return text(str(made).encode(), cost=0.05)

    shared = scrapes(costly)
    await shared.text("")
    await trio.sleep(FRESH * 1.5)
    assert await shown(shared) == b"1"
    await trio.sleep(STALE)
    assert await shown(shared) == b"2"


async def test_each_format_has_its_own_and_made_up_ones_fill_nothing() -> None:
    renderer = Renderer()
    shared = scrapes(renderer)
    await shared.text("")
    await shared.text(OPENMETRICS)
    assert len(renderer.made) == 2
    for number in range(50):
        await shared.text(f"application/openmetrics-text; version=1.0.{number}")
    assert len(shared._latest) <= 5


async def test_after_a_failure_the_next_tries_anew() -> None:
    async def fail(_snapshot: ProxySnapshot, _version: str, _accept: str) -> Text:
        raise ValueError("made up")

    failing = scrapes(fail)
    with pytest.raises(ValueError, match="made up"):
        await failing.text("")
    renderer = Renderer()
    failing._render = renderer
    assert await shown(failing) == b"1"


async def test_who_leaves_does_not_take_the_rendering_from_those_who_wait() -> None:
    renderer = Renderer(wait=True)
    shared, outcomes = scrapes(renderer), []

    async def scrape(scope: trio.CancelScope) -> None:
        with scope:
            outcomes.append(await shown(shared))

    first, second = trio.CancelScope(), trio.CancelScope()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scrape, first)
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.start_soon(scrape, second)
            await trio.testing.wait_all_tasks_blocked(0.01)
            first.cancel()
            renderer.may_end.set()
    assert outcomes[-1] == b"1"


async def test_what_is_served_is_whole_and_ends_as_it_should() -> None:
    async with serving() as bound:
        for accept in ("", OPENMETRICS):
            answers = [await ask(bound, "GET", "/metrics", accept=accept) for _ in range(3)]
            assert {answer.status for answer in answers} == {200}
            assert b"guardian_device_outstanding" in answers[0].body
    assert answers[0].body.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    ("header", "takes"),
    [("", False), ("gzip", True), ("deflate, GZIP;q=0.5", True), ("gzip;q=0", False), ("gzip; q=0.000", False),
     ("identity", False), ("gzip;q=1.0, *;q=0", True), ("br", False)],
)  # fmt: skip
def test_who_takes_gzip(header: str, takes: bool) -> None:
    assert takes_gzip(header) is takes


async def test_prometheus_gets_it_compressed_and_the_same() -> None:
    async with serving() as bound:
        plain = await ask(bound, "GET", "/metrics")
        zipped = await ask(bound, "GET", "/metrics", accept_encoding="gzip")
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped.body) == plain.body, "they shared one rendering"
    assert len(zipped.body) < len(plain.body) / 4


async def test_while_a_new_one_is_made_others_get_the_one_before_it(autojump_clock: trio.testing.MockClock) -> None:
    renderer = Renderer()
    shared = scrapes(renderer)
    assert await shown(shared) == b"1"
    await trio.sleep(FRESH)
    renderer.may_end = trio.Event()
    got: list[bytes] = []

    async def scrape() -> None:
        got.append(await shown(shared))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(scrape)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await scrape()
        assert got == [b"1"], "it did not wait"
        renderer.may_end.set()
    assert got == [b"1", b"2"]
