from __future__ import annotations

import errno
import os
import select
import socket

import pytest
import trio
import trio.testing

from balancer.transport import dial as module
from balancer.transport.dial import DialError, dial, wrapped


async def test_a_port_where_nobody_listens_is_refused_for_certain() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        with pytest.raises(DialError, match="refused") as caught:
            await dial("127.0.0.1", taken.getsockname()[1], None, 5.0)
    assert caught.value.refused


async def test_who_does_not_answer_costs_the_timeout(autojump_clock: trio.testing.MockClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(DialError, match="within 2 s") as caught:
        await dial("127.0.0.1", silent.getsockname()[1], _client_context(), 2.0)
    assert not caught.value.refused


async def test_no_descriptor_left_is_an_error_of_this_dial_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setattr(module.socket, "socket", none_left)
        with pytest.raises(DialError, match="too many open files"):
            await dial("127.0.0.1", listening.getsockname()[1], None, 5.0)


async def test_a_name_that_cannot_be_resolved_says_so() -> None:
    for name in ("no-such-host.invalid", "x" * 70 + ".invalid"):
        with pytest.raises(DialError, match="resolved"):
            await dial(name, 9100, None, 5.0)


@pytest.mark.parametrize("server", [True, False])
def test_nothing_stays_open_where_the_peer_has_reset_the_connection(server: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()  # a reset
        select.select([ours], [], [], 10)
        context = module.ssl.SSLContext(module.ssl.PROTOCOL_TLS_SERVER) if server else _client_context()
        descriptor = ours.fileno()
        with pytest.raises(ConnectionResetError):
            wrapped(context, ours, server_name=None if server else "hsm1")
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def _client_context() -> module.ssl.SSLContext:
    context = module.ssl.SSLContext(module.ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = module.ssl.CERT_NONE
    return context
