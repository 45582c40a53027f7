"""A change over loopback is somebody's: the user whose socket it came by."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from guardian.admin.neighbours import user_at
from guardian.events import Kind
from tests.support.admin_port import DRAIN, ask, serving
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
        assert user_at(family, (host, gone[1] ^ 1), ours.getsockname()) is None


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
