"""The reactor with real sockets and a clock that the test turns; nothing here waits for anything."""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from balancer.transport import reactor as reactor_module
from balancer.transport.handler import LinkHandler
from balancer.transport.link import Link
from balancer.transport.reactor import Reactor
from tests.support.site import Site
from tests.support.tls import client_context, shaken


class Listening(LinkHandler):
    """Notes what came, in which batch; may write it back, and may be told to rest."""

    def __init__(self, *, echo: bool = False, rests: int = 0) -> None:
        self.link: Link
        self.got: list[bytes] = []
        self.echo = echo
        self.rests = rests
        self.went_on = 0

    def received(self, data: bytes, now: float) -> None:
        self.got.append(data)
        if self.echo:
            self.link.write(data)
        if self.rests:
            self.link.rest()

    def go_on(self) -> None:
        self.went_on += 1
        self.rests -= 1
        if self.rests:
            self.link.rest()

    def lost(self, reason: str) -> None: ...

    def sent_all(self) -> None: ...


@contextlib.contextmanager
def running() -> Iterator[Reactor]:
    def failed(exc: BaseException) -> None:
        raise exc

    reactor = Reactor(time.monotonic, failed)
    try:
        yield reactor
    finally:
        reactor.close()


@contextlib.contextmanager
def linked(reactor: Reactor, handler: Listening) -> Iterator[socket.socket]:
    """The far end of a new link."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    handler.link = Link(reactor, near, handler)
    with far:
        yield far
        handler.link.close()


@pytest.mark.parametrize("end", ["closed", "lost", "finished"])
def test_what_openssl_has_for_a_connection_goes_with_it(site: Site, tmp_path: Path, end: str) -> None:
    """Not when somebody collects: link and handler know each other, and ten thousand of them have 240 MiB."""
    server = site.server().context
    with running() as reactor, shaken(server, client_context(tmp_path, site.root, site.issue())) as ends:
        handler = Listening()
        handler.link = Link(reactor, ends.server, handler)
        inner = ends.server._sslobj  # type: ignore[attr-defined]
        gc.disable()
        try:
            if end == "finished":
                handler.link.finish()
            if end == "lost":
                handler.link.lose("a fault")
            handler.link.close()
            assert sys.getrefcount(inner) == 2, "this test and the call"
        finally:
            gc.enable()
        handler.link.pull()  # nothing comes of it


@pytest.mark.parametrize("size", [1, 471, 472, 473, 944, 5000, 16_383, 16_384])
def test_a_record_of_any_size_is_read_to_its_end_at_once(site: Site, tmp_path: Path, size: int) -> None:
    """What stays inside OpenSSL is told by no epoll: nobody would ever come back for it."""
    server = site.server().context
    with running() as reactor, shaken(server, client_context(tmp_path, site.root, site.issue())) as ends:
        handler = Listening()
        handler.link = Link(reactor, ends.server, handler)
        for number in range(3):
            message = bytes([65 + number]) * size
            ends.client.send(message)
            reactor.run_batch()
            assert b"".join(handler.got) == message
            handler.got.clear()
        handler.link.close()


def test_who_sends_without_end_is_read_once_in_each_batch() -> None:
    with running() as reactor, contextlib.ExitStack() as stack:
        loud = Listening()
        flood = stack.enter_context(linked(reactor, loud))
        with contextlib.suppress(BlockingIOError):
            while True:
                flood.send(b"x" * 65_536)
        quiet = [Listening() for _ in range(200)]
        for far in [stack.enter_context(linked(reactor, each)) for each in quiet]:
            far.send(b"?")
        batches = 0
        while not all(each.got for each in quiet):
            reactor.run_batch()
            batches += 1
        assert batches <= 4  # of 64 events each
        assert len(loud.got) <= batches
        assert sum(map(len, loud.got)) <= batches * 16_384


def test_who_rests_goes_on_in_the_next_batch_after_the_others() -> None:
    with running() as reactor, contextlib.ExitStack() as stack:
        resting, other = Listening(rests=2), Listening()
        far = stack.enter_context(linked(reactor, resting))
        another = stack.enter_context(linked(reactor, other))
        far.send(b"a")
        assert reactor.run_batch() == 1
        assert resting.went_on == 0
        another.send(b"b")
        assert reactor.run_batch() == 2
        assert (resting.went_on, other.got) == (1, [b"b"])
        assert reactor.run_batch() == 1
        assert resting.went_on == 2
        assert reactor.run_batch() == 0


def test_a_link_that_is_closed_while_it_rests_is_left_alone() -> None:
    with running() as reactor:
        resting = Listening(rests=1)
        with linked(reactor, resting) as far:
            far.send(b"a")
            reactor.run_batch()
            resting.link.close()
            reactor.run_batch()
        assert resting.went_on == 0


async def test_who_rests_goes_on_though_nothing_comes() -> None:
    resting = Listening(rests=1000)  # more than one turn
    with running() as reactor, linked(reactor, resting) as far:
        far.send(b"a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reactor.run)
            with trio.fail_after(60):
                while resting.went_on < 1000:
                    await trio.sleep(0)
            nursery.cancel_scope.cancel()


async def test_other_tasks_run_while_somebody_is_never_done() -> None:
    with running() as reactor, linked(reactor, Listening(rests=1 << 30)) as far:
        far.send(b"a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reactor.run)
            for _ in range(20):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()


class Polls:
    """An epoll that has what the test says, and notes for how long it was asked."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.waits: list[float] = []

    def poll(self, wait: float, most: int) -> list[tuple[int, int]]:
        self.waits.append(wait)
        return [(-1, 1)] * (self.answers.pop(0) if self.answers else 0)  # of a link that is gone already

    def close(self) -> None: ...


def turns(*answers: int, count: int = 1, step: float = 0.0) -> Polls:
    """What ``count`` turns do where each poll has so many events, and each look at the clock takes ``step`` s."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += step
        return now

    reactor = Reactor(clock, lambda exc: pytest.fail(repr(exc)))
    reactor.close()
    polls = Polls(*answers)
    reactor._epoll = polls  # type: ignore[assignment]
    for _ in range(count):
        reactor._take_turn()
    return polls


def test_a_turn_ends_after_a_bounded_number_of_events() -> None:
    polls = turns(*[64] * 100)
    assert len(polls.waits) == 3
    assert set(polls.waits) == {0.0}
    assert len(turns(*[8] * 100).waits) == 24


def test_where_few_ask_a_turn_waits_for_the_next_and_not_for_long() -> None:
    # Each request finds the epoll empty once, and is there within the millisecond.
    polls = turns(1, *[0, 1] * 100, step=0.0004)
    assert polls.waits == [0.0, *[0.0, 0.001] * 5, 0.0]


def test_who_waited_in_vain_waits_again_only_after_some_turns() -> None:
    polls = turns(*[1, 0, 0], count=200)
    waited = [place for place, wait in enumerate(polls.waits) if wait]
    assert len(waited) < 12
    assert reactor_module._PATIENCE_LOST == 64
