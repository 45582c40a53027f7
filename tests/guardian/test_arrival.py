"""A handshake in the reactor, with real sockets; nothing here waits for anything."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from balancer.transport.dial import wrapped
from balancer.transport.pollable import Pollable
from balancer.transport.reactor import Reactor
from guardian.arrival import Arrival
from tests.support.site import Site
from tests.support.tls import authority


class Host:
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.error: Exception | None = None

    def shaken(self, arrival: Arrival) -> None:
        self.heard.append("shaken")

    def unshaken(self, arrival: Arrival, exc: Exception) -> None:
        self.heard.append("unshaken")
        self.error = exc

    def late(self, arrival: Arrival) -> None:
        self.heard.append("late")


class Coming:
    """An arrival, and the client that comes."""

    def __init__(self, reactor: Reactor, site: Site, far: socket.socket, near: socket.socket) -> None:
        self.host = Host()
        self.reactor = reactor
        self.site = site
        side = site.server()
        self.arrival = Arrival(reactor, wrapped(side.context, near), "192.0.2.1", side, self.host)
        self.client = site.client(site.issue()).wrap_socket(
            far, server_hostname="guardian", do_handshake_on_connect=False
        )

    def step(self) -> bool:
        """The client's step and then ours; whether the client is done."""
        try:
            self.client.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        finally:
            self.reactor.run_batch()
        return True

    @property
    def gone(self) -> bool:
        return self.arrival.socket.fileno() == -1 and not self.reactor.links


@pytest.fixture
def coming(tmp_path: Path) -> Iterator[Coming]:
    reactor = Reactor(time.monotonic, _raise)
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    come = Coming(reactor, Site(tmp_path, authority()), far, near)
    yield come
    come.arrival.close()
    come.arrival.socket.close()
    come.client.close()
    reactor.close()


def _raise(exc: BaseException) -> None:
    raise exc


def test_a_good_one_is_handed_over_open_and_no_longer_registered(coming: Coming) -> None:
    while not coming.step():
        assert coming.reactor.links == 1
    assert coming.host.heard == ["shaken"]
    assert coming.reactor.links == 0
    peer = coming.arrival.tls.check(coming.arrival.socket, time.time())
    assert peer is not None
    assert peer.common_name == "vault-1"
    coming.client.send(b"first")
    assert coming.arrival.socket.recv(100) == b"first"
    coming.arrival.close()
    coming.arrival.give_up()
    assert coming.host.heard == ["shaken"], "it has one end"
    assert coming.arrival.socket.fileno() != -1, "the socket is the host's"


def test_what_is_no_handshake_is_told_and_closed(coming: Coming) -> None:
    socket.socket.send(coming.client, b"GET / HTTP/1.1\r\n\r\n")
    coming.reactor.run_batch()
    assert coming.host.heard == ["unshaken"]
    assert isinstance(coming.host.error, ssl.SSLError)
    assert coming.gone


def test_who_is_refused_hears_why(coming: Coming) -> None:
    coming.client = coming.site.client(None).wrap_socket(
        socket.socket(fileno=coming.client.detach()), server_hostname="guardian", do_handshake_on_connect=False
    )
    coming.client.setblocking(False)
    while not coming.step():
        pass
    assert coming.host.heard == ["unshaken"]
    assert coming.gone
    with pytest.raises(ssl.SSLError, match="certificate required"):
        coming.client.recv(1)


def test_one_that_leaves_is_told(coming: Coming) -> None:
    coming.client.close()
    coming.reactor.run_batch()
    assert coming.host.heard == ["unshaken"]
    assert coming.gone


def test_one_that_is_given_up_is_told_once(coming: Coming) -> None:
    coming.step()
    coming.arrival.give_up()
    coming.arrival.give_up()
    coming.arrival.lose("later")
    assert coming.host.heard == ["late"]
    assert coming.gone


def test_one_that_the_host_closes_is_not_told(coming: Coming) -> None:
    coming.arrival.close()
    assert coming.host.heard == []
    assert coming.gone


def test_a_fault_of_ours_costs_the_connection(coming: Coming) -> None:
    coming.arrival.lose("a fault of the proxy's own")
    assert coming.host.heard == ["unshaken"]
    assert coming.gone


class Toiling(Pollable):
    """Asks for its turn until it has had it once."""

    def __init__(self, reactor: Reactor, order: list[str]) -> None:
        self.near, self.far = socket.socketpair()
        self.reactor, self.order = reactor, order
        self.asked = self.done = 0
        reactor.register(self, self.near.fileno(), 1)
        self.far.send(b"x")

    def pull(self) -> None:
        self.asked += 1
        if self.reactor.may_toil():
            self.done += 1
            self.near.recv(1)

    def close(self) -> None:
        self.reactor.unregister(self.near.fileno())
        self.near.close()
        self.far.close()


def test_a_crowd_of_handshakes_has_its_turns_a_few_at_a_time() -> None:
    """Each step takes half a millisecond: what others are owed goes out in between."""
    reactor = Reactor(time.monotonic, _raise)
    with contextlib.ExitStack() as stack:
        stack.callback(reactor.close)
        crowd = [Toiling(reactor, []) for _ in range(10)]
        for one in crowd:
            stack.callback(one.close)
        did = []
        while any(not one.done for one in crowd):
            handled = reactor.run_batch()
            did.append(sum(one.done for one in crowd))
            assert handled > 10, "and they count for more than a request, so that other tasks have their turn"
        assert did == [4, 8, 10]
