"""A change over loopback is somebody's: the user whose socket it came by."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from guardian.admin import neighbours
from guardian.admin.neighbours import UserGoneError, user_at
from guardian.events import Event, Kind
from tests.support.admin_port import DRAIN, ask, exchange, serving
from tests.support.operable import FakeProxy

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="this system has no table of sockets")
ASK = """
import encodings.idna, http.client, os, sys
os.setuid(int(sys.argv[3]))
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)
connection.request("POST", sys.argv[4])
print(connection.getresponse().status)
"""


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_user_of_a_connection_is_found(family: socket.AddressFamily) -> None:
    host = "127.0.0.1" if family is socket.AF_INET else "::1"
    try:
        listening = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("no such loopback here")
    with listening, socket.create_connection(listening.getsockname()[:2]) as theirs, listening.accept()[0] as ours:
        assert user_at(family, ours.getpeername(), ours.getsockname()) == os.getuid()
        gone = theirs.getsockname()
        with pytest.raises(UserGoneError):
            user_at(family, (host, gone[1] ^ 1), ours.getsockname())
        peer, own = ours.getpeername(), ours.getsockname()
        theirs.close()
        with pytest.raises(UserGoneError):  # the kernel keeps the socket for a while, and calls it user 0's
            user_at(family, peer, own)


def test_a_socket_for_both_families_is_somebodys_too() -> None:
    try:
        theirs = socket.socket(socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with theirs, socket.create_server(("127.0.0.1", 0)) as listening:
        theirs.connect((f"::ffff:{listening.getsockname()[0]}", listening.getsockname()[1]))
        with listening.accept()[0] as ours:
            assert user_at(socket.AF_INET, ours.getpeername(), ours.getsockname()) == os.getuid()


def test_a_system_without_a_table_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(neighbours._TABLES, socket.AF_INET, tmp_path / "none")
    assert user_at(socket.AF_INET, ("127.0.0.1", 1), ("127.0.0.1", 2)) is None


async def test_who_does_not_stay_to_hear_the_answer_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    left, looked = threading.Event(), trio.Event()

    def once_they_left(*ends: Any) -> int | None:
        assert left.wait(60)
        try:
            return user_at(*ends)
        finally:
            trio.from_thread.run_sync(looked.set)

    monkeypatch.setattr("guardian.admin.server.user_at", once_they_left)
    proxy = FakeProxy()
    told: list[Event] = []
    proxy.events.subscribe(told.append)
    async with serving(proxy) as bound:
        stream = await trio.open_tcp_stream(bound.host, bound.port)
        await stream.send_all(f"POST {DRAIN} HTTP/1.1\r\nHost: {bound}\r\n\r\n".encode())
        await stream.aclose()
        left.set()
        with trio.fail_after(20):
            await looked.wait()
            while not told:
                await trio.sleep(0.01)
    [event] = told
    assert (event.kind, event.who, event.result, proxy.told) == (Kind.OPERATOR, "loopback", "user", [])


async def test_who_only_ended_their_side_is_still_there() -> None:
    proxy = FakeProxy()
    async with serving(proxy) as bound:
        raw = f"POST {DRAIN} HTTP/1.1\r\nHost: {bound}\r\n\r\n".encode()
        assert (await exchange(bound, raw)).startswith(b"HTTP/1.1 200")
    assert [event.who for event in proxy.events.since(0)] == [f"uid {os.getuid()}"]


async def test_who_changes_something_is_named_by_their_user() -> None:
    proxy = FakeProxy()
    async with serving(proxy) as bound:
        assert (await ask(bound, "POST", DRAIN)).status == 200
    [event] = [event for event in proxy.events.since(0) if event.kind is Kind.WILL]
    assert (event.who, event.source) == (f"uid {os.getuid()}", "127.0.0.1")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
async def test_another_user_is_another_name() -> None:
    proxy = FakeProxy()
    async with serving(proxy) as bound:
        command = [sys.executable, "-I", "-c", ASK, bound.host, str(bound.port), "65534", DRAIN]
        done = await trio.run_process(command, capture_stdout=True, stdin=subprocess.DEVNULL)
        assert done.stdout.strip() == b"200"
    assert [event.who for event in proxy.events.since(0)] == ["uid 65534"]
