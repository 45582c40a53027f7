"""The same bytes again on one connection: parsed once, answered as ever, and refused as soon as anybody's would be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from config.model import Admin, AdminRole, AdminToken, Bind
from guardian.admin.connection import Connection
from guardian.admin.keys import read_keys
from guardian.admin.server import AdminServer
from tests.support.admin_port import ANY_PORT, LOOPBACK, Answer, parse, running
from tests.support.operable import FakeProxy

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer secret\r\n\r\n"
ALIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Scraper:
    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._rest = b""

    async def ask(self, *pieces: bytes) -> Answer:
        for piece in pieces:
            await trio.testing.wait_all_tasks_blocked(0.005)
            await self._stream.send_all(piece)
        return await self.answer()

    async def answer(self) -> Answer:
        raw = self._rest
        with trio.fail_after(30):
            while b"\r\n\r\n" not in raw:
                raw += await self._some()
            length = int(parse(raw).headers.get("content-length", "0"))
            end = raw.index(b"\r\n\r\n") + 4 + length
            while len(raw) < end:
                raw += await self._some()
        self._rest = raw[end:]
        return parse(raw[:end])

    async def _some(self) -> bytes:
        data = await self._stream.receive_some()
        assert data, "it closed"
        return bytes(data)


@asynccontextmanager
async def scraping(server: AdminServer) -> AsyncIterator[Scraper]:
    async with running(server) as bound:
        assert isinstance(bound, Bind)
        stream = await trio.open_tcp_stream(bound.host, bound.port)
        async with stream:
            yield Scraper(stream)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all requests that were parsed."""
    paths: list[str] = []
    make: Callable[..., object] = Connection._request

    def noted(connection: Connection, *args: object) -> object:
        request = make(connection, *args)
        paths.append(request.path)  # type: ignore[attr-defined]
        return request

    monkeypatch.setattr(Connection, "_request", noted)
    return paths


def server_for(admin: Admin = LOOPBACK) -> AdminServer:
    return AdminServer(admin, read_keys(admin), FakeProxy())


async def test_it_is_parsed_once_and_answered_to_the_byte_as_the_first_time(parsed: list[str]) -> None:
    async with scraping(server_for()) as scraper:
        first, *others = [await scraper.ask(SCRAPE) for _ in range(5)]
    assert first.status == 200
    assert first.headers["content-encoding"] == "gzip"
    assert others == [first] * 4
    assert parsed == ["/metrics"]


async def test_what_comes_in_between_in_pieces_or_at_once_is_answered_too(parsed: list[str]) -> None:
    async with scraping(server_for()) as scraper:
        await scraper.ask(SCRAPE)
        assert (await scraper.ask(ALIVE)).json == {"alive": True}
        assert (await scraper.ask(SCRAPE)).status == 200
        assert (await scraper.ask(SCRAPE)).status == 200
        assert (await scraper.ask(SCRAPE[:20], SCRAPE[20:])).status == 200
        assert (await scraper.ask(SCRAPE + ALIVE + SCRAPE)).headers["content-encoding"] == "gzip"
        assert (await scraper.answer()).json == {"alive": True}
        assert (await scraper.answer()).headers["content-encoding"] == "gzip"
        assert (await scraper.ask(SCRAPE.replace(b"/metrics", b"/nothing"))).status == 404
        assert (await scraper.ask(SCRAPE)).status == 200
    assert len(parsed) < 10


async def test_who_may_not_any_more_is_refused_on_the_same_connection(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "other").write_text("another\n")

    def admin(file: str) -> Admin:
        return Admin(bind=ANY_PORT, tokens=(AdminToken(name="wall", role=AdminRole.VIEW, file=tmp_path / file),))

    server = server_for(admin("token"))
    async with scraping(server) as scraper:
        for _ in range(3):
            assert (await scraper.ask(SCRAPE)).status == 200
        server.adopt(admin("other"), read_keys(admin("other")))
        assert (await scraper.ask(SCRAPE)).status == 401
        server.adopt(admin("token"), read_keys(admin("token")))
        for _ in range(3):
            assert (await scraper.ask(SCRAPE)).status == 200


async def test_another_client_does_not_get_in_by_the_bytes_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    admin = Admin(bind=ANY_PORT, tokens=(AdminToken(name="wall", role=AdminRole.VIEW, file=tmp_path / "token"),))
    async with scraping(server_for(admin)) as scraper:
        for _ in range(3):
            assert (await scraper.ask(SCRAPE)).status == 200
        assert (await scraper.ask(SCRAPE.replace(b"secret", b"secreT"))).status == 401
