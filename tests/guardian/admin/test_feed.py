"""The feed: five frames a second, made once for all and only while somebody watches; slow viewers skip."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketConnection, open_websocket

from config.model import Admin, Bind
from guardian.admin.access import BEARER_SUBPROTOCOL, SUBPROTOCOL
from guardian.admin.drawing import Drawn, Sight
from guardian.admin.feed import EVERY, Feed
from guardian.admin.making import in_threads
from guardian.admin.message import Request
from tests.support.admin_port import ANY_PORT, ask, serving
from tests.support.operable import FakeProxy

from .test_frame import merge

UPGRADE = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec_websocket_version": "13",
}


@asynccontextmanager
async def viewer(bound: Bind, **more: Any) -> AsyncIterator[WebSocketConnection]:
    with trio.fail_after(20):
        async with open_websocket(bound.host, bound.port, "/feed", use_ssl=False, **more) as socket:
            yield socket


async def message(socket: WebSocketConnection) -> Any:
    return json.loads(await socket.get_message())


async def test_a_viewer_hears_who_it_is_then_everything_then_what_changes() -> None:
    proxy = FakeProxy()
    async with serving(proxy) as bound, viewer(bound) as socket:
        assert (await message(socket))["hello"]["role"] == "operate"
        first = await message(socket)
        assert first["state"]["groups"]["payments"]["devices"]["hsm1"]["outstanding"] == 3
        proxy.change("hsm1", outstanding=7)
        state = first["state"]
        for number in range(first["number"] + 1, first["number"] + 4):
            frame = await message(socket)
            assert frame["number"] == number
            state = merge(state, frame["change"])
        assert state["groups"]["payments"]["devices"]["hsm1"]["outstanding"] == 7


async def test_frames_are_made_once_for_all_and_not_for_nobody() -> None:
    proxy = FakeProxy()
    feed = Feed(proxy, "1.0", in_threads().draw)
    seen: list[list[int]] = [[], [], []]

    async def watch(numbers: list[int]) -> None:
        number = 0
        for _ in range(4):
            number, _text = await feed.after(number)
            numbers.append(number)

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for numbers in seen:
            nursery.start_soon(watch, numbers)
    assert seen == [[1, 2, 3, 4]] * 3
    assert proxy.shown == 4
    assert trio.current_time() - began >= 3 * EVERY
    await trio.sleep(3 * EVERY)
    assert proxy.shown == 4


async def test_a_viewer_that_was_slow_gets_the_newest_whole() -> None:
    feed = Feed(FakeProxy(), "1.0", in_threads().draw)
    slow, text = await feed.after(0)
    assert "state" in json.loads(text)
    number = slow
    for _ in range(4):
        number, text = await feed.after(number)
        assert "change" in json.loads(text)
    newest, text = await feed.after(slow)
    assert newest >= number
    assert "state" in json.loads(text)
    newest, text = await feed.after(newest)
    assert "change" in json.loads(text)


async def test_a_whole_frame_is_drawn_only_for_who_needs_it() -> None:
    making, asked = in_threads(), list[bool]()

    async def draw(sight: Sight) -> Drawn:
        asked.append(sight.whole)
        return await making.draw(sight)

    feed = Feed(FakeProxy(), "1.0", draw)
    number = 0
    for _ in range(3):
        number, _text = await feed.after(number)
    newest, text = await feed.after(1)
    assert "state" in json.loads(text)
    await feed.after(newest)
    assert asked == [False, False, False, True, False]  # the first is whole anyway


async def test_what_is_old_is_forgotten_when_nobody_watches_any_more() -> None:
    proxy = FakeProxy()
    async with serving(proxy) as bound:
        async with viewer(bound) as socket:
            last = [await message(socket) for _ in range(4)][-1]
        shown = proxy.shown
        with trio.fail_after(30):
            while await idle(proxy):
                pass
        assert proxy.shown - shown <= 3
        async with viewer(bound) as socket:
            await message(socket)
            again = await message(socket)
    assert again["number"] > last["number"]
    assert "rate" not in again["state"]["groups"]["payments"]


async def idle(proxy: FakeProxy) -> bool:
    """Whether a snapshot was taken within three ticks."""
    shown = proxy.shown
    await trio.sleep(0.6)
    return proxy.shown != shown


async def test_a_viewer_who_takes_nothing_holds_nobody_up() -> None:
    proxy = FakeProxy()
    async with serving(proxy) as bound:
        deaf = await trio.open_tcp_stream(bound.host, bound.port)
        await deaf.send_all(
            f"GET /feed HTTP/1.1\r\nHost: {bound}\r\n".encode()
            + "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in UPGRADE.items()).encode()
            + b"\r\n"
        )
        async with viewer(bound) as socket:
            numbers = [(await message(socket)).get("number") for _ in range(6)]
        await trio.aclose_forcefully(deaf)
    assert numbers[2:] == list(range(numbers[1] + 1, numbers[1] + 5))


async def test_the_feed_asks_for_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    async with serving(FakeProxy(), Admin(bind=ANY_PORT, token_file=tmp_path / "token")) as bound:
        assert (await ask(bound, "GET", "/feed", **UPGRADE)).status == 401
        assert (await ask(bound, "HEAD", "/feed")).status == 401
        async with viewer(bound, subprotocols=[SUBPROTOCOL, f"{BEARER_SUBPROTOCOL}czNjcmV0"]) as socket:
            assert "hello" in await message(socket)


async def test_a_page_of_another_site_gets_no_feed() -> None:
    async with serving() as bound:
        assert (await ask(bound, "GET", "/feed", origin="https://evil.example", **UPGRADE)).status == 403


class Screen:
    """Stands for a WebSocket: notes when each frame came."""

    def __init__(self) -> None:
        self.came: dict[int, float] = {}

    async def send_message(self, text: str) -> None:
        frame = json.loads(text)
        if "number" in frame:
            self.came[frame["number"]] = trio.current_time()

    async def get_message(self) -> None:
        await trio.sleep_forever()


async def test_a_frame_goes_out_to_many_one_after_the_other_and_nobody_skips(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def here(work: Callable[..., Any], *args: Any, limiter: object) -> Any:
        """Threads know no virtual time."""
        await trio.lowlevel.checkpoint()
        return work(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", here)
    feed, screens = Feed(FakeProxy(), "1.0", in_threads().draw), [Screen() for _ in range(20)]
    with trio.move_on_after(2.1):
        async with trio.open_nursery() as nursery:
            for screen in screens:
                nursery.start_soon(feed.talk, Request(method="GET", target="/feed"), screen)
    numbers = range(2, 9)
    for screen in screens:
        assert set(numbers) <= set(screen.came), "a frame was skipped"
    for number in numbers:
        at = [screen.came[number] for screen in screens]
        assert len(set(at)) == len(screens), "two at one moment"
        assert max(at) - min(at) < EVERY
