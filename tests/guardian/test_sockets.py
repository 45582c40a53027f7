"""Sockets that were bound before the process began: who takes which, and what becomes of the rest."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.model import Bind
from guardian.sockets import Offered, OfferedSockets, adopt, listen, listen_everywhere, of_systemd

ACTIVATE = shutil.which("systemd-socket-activate")
LOOPBACK = Bind(host="127.0.0.1", port=0)


def bind_of(sock: socket.socket) -> Bind:
    host, port = sock.getsockname()[:2]
    return Bind(host=host, port=port)


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    made = [listen(LOOPBACK) for _ in range(3)]
    yield made
    for sock in made:
        sock.close()


def test_the_address_counts_before_the_name(sockets: list[socket.socket]) -> None:
    one, two, _ = sockets
    offered = OfferedSockets([Offered(one, "second", moves=True), Offered(two, "first", moves=True)])
    assert offered.take("first", bind_of(one)) is one
    assert offered.take("first", bind_of(one)) is two  # by its name now
    assert offered.take("first", bind_of(one)) is None


def test_who_hands_over_gives_a_name_only_to_who_has_no_address_of_its_own(sockets: list[socket.socket]) -> None:
    """A listener whose address is another one now must not stay on the old one."""
    one, two, _ = sockets
    offered = OfferedSockets([Offered(one, "excrypt", moves=False)])
    assert offered.take("excrypt", bind_of(two)) is None
    assert offered.take("other", LOOPBACK) is None
    assert offered.take("excrypt", LOOPBACK) is one


def test_what_nobody_takes_is_closed_and_named(sockets: list[socket.socket]) -> None:
    one, two, three = sockets
    offered = OfferedSockets(Offered(sock, "excrypt", moves=True) for sock in sockets)
    assert offered.take_all("excrypt", bind_of(three)) == [three, one, two]
    offered = OfferedSockets([Offered(one, "excrypt", moves=True)])
    address = bind_of(one)
    assert offered.close() == [f"excrypt ({address})"]
    assert one.fileno() < 0
    assert two.fileno() >= 0


def test_a_descriptor_that_does_not_listen_is_refused() -> None:
    with socket.socket() as plain, pytest.raises(OSError, match="no listening stream socket"):
        adopt(plain.fileno())
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams, pytest.raises(OSError, match="no listening"):
        adopt(datagrams.fileno())


def test_variables_for_another_process_are_taken_out_and_nothing_else() -> None:
    environment = {"LISTEN_FDS": "3", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a:b:c", "PATH": "/bin"}
    assert of_systemd(environment, os.getpid()).close() == []
    assert environment == {"PATH": "/bin"}


def test_every_address_of_a_name_is_taken() -> None:
    found = listen_everywhere(Bind(host="localhost", port=0))
    assert len(found) == 1
    port = found[0].getsockname()[1]
    with pytest.raises(OSError, match="in use"):
        listen_everywhere(Bind(host="127.0.0.1", port=port))
    for sock in found:
        sock.close()


CHILD = """
import os, json
from guardian.sockets import of_systemd
from config.model import Bind
port = int(os.environ["PORT"])
environment = dict(os.environ)
offered = of_systemd(environment, os.getpid())
taken = offered.take("excrypt", Bind(host="127.0.0.1", port=1))
print(json.dumps({
    "port": taken.getsockname()[1], "inheritable": taken.get_inheritable(), "blocking": taken.getblocking(),
    "left": [name for name in environment if name.startswith("LISTEN_")],
}), flush=True)
connection, _ = taken.accept() if taken.setblocking(True) is None else None
connection.sendall(b"here")
"""


@pytest.mark.skipif(ACTIVATE is None, reason="needs systemd-socket-activate (Debian: systemd)")
def test_systemd_s_own_program_hands_a_socket_over_by_name(tmp_path: Path) -> None:
    assert ACTIVATE is not None
    with listen(LOOPBACK) as free:
        port = free.getsockname()[1]
    out = tmp_path / "out"
    with out.open("wb") as file:
        program = subprocess.Popen(
            [ACTIVATE, "-l", f"127.0.0.1:{port}", "--fdname=excrypt", "-E", "PORT", "-E", "PYTHONPATH", sys.executable,
             "-c", CHILD],
            stdout=file, stderr=subprocess.DEVNULL,
            env={**os.environ, "PORT": str(port), "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
    try:
        with _connected(port) as client:
            client.settimeout(20)
            assert client.recv(4) == b"here"
    finally:
        program.kill()
        program.wait()
    assert f'"port": {port}' in out.read_text()
    assert '"inheritable": false, "blocking": false, "left": []' in out.read_text()


def _connected(port: int) -> socket.socket:
    """The socket is there as soon as the program has it."""
    for _ in range(500):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            subprocess.run(["sleep", "0.01"], check=True)
    raise AssertionError("it never listened")
