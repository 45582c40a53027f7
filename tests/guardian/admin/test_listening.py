"""A socket in the file system: who may use it, and what becomes of its file."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from config.model import Admin, UnixBind
from guardian.admin.keys import read_keys
from guardian.admin.listening import listen_unix
from guardian.admin.server import AdminServer, serve_admin
from tests.support.admin_port import QUICK, parse, running, serving_at
from tests.support.operable import FakeProxy

DRAIN = b"POST /groups/payments/devices/hsm1/drain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def at(path: Path, mode: str = "0600") -> Admin:
    return Admin(bind=UnixBind(path=path), mode=mode)


async def ask_unix(path: Path, raw: bytes) -> bytes:
    stream = await trio.open_unix_socket(str(path))
    async with stream:
        received = b""
        with trio.fail_after(30):
            await stream.send_all(raw)
            async for data in stream:
                received += data
        return received


async def test_who_may_write_to_the_file_may_operate_and_is_known_by_their_user(tmp_path: Path) -> None:
    path, proxy = tmp_path / "admin.sock", FakeProxy()
    async with serving_at(at(path), proxy) as bound:
        assert str(bound) == f"unix:{path}"
        assert parse(await ask_unix(path, DRAIN)).status == 200
        (event,) = proxy.events.since(0)
        assert (event.who, event.source, event.result) == (f"uid {os.getuid()}", "unix", "drain")
        foreign = DRAIN.replace(b"localhost", b"evil.example")
        assert parse(await ask_unix(path, foreign)).status == 403
    assert not path.exists()


@pytest.mark.parametrize("mode", ["0600", "0660", "666"])
def test_the_file_has_the_mode_before_anybody_can_connect(tmp_path: Path, mode: str) -> None:
    old = os.umask(0)
    try:
        with listen_unix(at(tmp_path / "a", mode), tmp_path / "a"):
            assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == int(mode, 8)
    finally:
        os.umask(old)


async def test_what_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    bind = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()"
    subprocess.run([sys.executable, "-c", bind, str(path)], check=True, timeout=60)
    assert path.exists()
    async with serving_at(at(path)):
        assert parse(await ask_unix(path, DRAIN)).status == 200


async def test_what_a_living_process_has_is_not(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with serving_at(at(path)):
        with pytest.raises(OSError, match="another process listens there"):
            await serve_admin(at(path), FakeProxy())
        assert parse(await ask_unix(path, DRAIN)).status == 200


def test_a_living_process_that_accepts_nothing_counts_as_living(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as first:
        full.bind(str(path))
        full.listen(0)
        first.connect(str(path))
        with pytest.raises(OSError, match="another process listens there"):
            listen_unix(at(path), path)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError, match="is no socket"):
        listen_unix(at(path), path)
    assert path.read_text() == "data"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"none/admin\.sock: No such file"):
        listen_unix(at(tmp_path / "none" / "admin.sock"), tmp_path / "none" / "admin.sock")


async def test_another_process_that_took_the_path_meanwhile_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with serving_at(at(path), times=QUICK):
        path.unlink()
        other = listen_unix(at(path), path)
    assert path.exists()
    other.close()


async def test_a_reload_changes_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    admin_server = AdminServer(at(path), read_keys(at(path)), FakeProxy())
    async with running(admin_server):
        admin_server.adopt(at(path, "0660"), read_keys(at(path, "0660")))
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
