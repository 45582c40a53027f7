from __future__ import annotations

import errno
import select

import pytest

from balancer.transport.link import Link

READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class FakeSocket:
    """Takes so many bytes, then would block; the test gives it room again."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken = b""
        self.coming: list[bytes | OSError] = []
        self.error: OSError | None = None
        self.closed = False

    def fileno(self) -> int:
        return 7

    def send(self, data: bytes) -> int:
        if self.error is not None:
            raise self.error
        if not self.room:
            raise BlockingIOError
        count = min(self.room, len(data))
        self.room -= count
        self.taken += data[:count]
        return count

    def recv(self, size: int) -> bytes:
        if not self.coming:
            raise BlockingIOError
        data = self.coming.pop(0)
        if isinstance(data, OSError):
            raise data
        return data

    def shutdown(self, how: int) -> None: ...

    def close(self) -> None:
        self.closed = True


class FakeReactor:
    def __init__(self) -> None:
        self.events: int | None = None
        self.to_flush: list[Link] = []
        self.error: Exception | None = None

    def clock(self) -> float:
        return 0.0

    def register(self, link: Link, fd: int, events: int) -> None:
        if self.error is not None:
            raise self.error
        self.events = events

    def modify(self, fd: int, events: int) -> None:
        self.events = events

    def unregister(self, fd: int) -> None:
        if self.error is not None:
            raise self.error
        self.events = None

    def flush(self) -> None:
        for link in self.to_flush:
            link.flush()
        self.to_flush.clear()


class Ends:
    """One link, both its ends, and what its handler was told."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.socket = FakeSocket(room)
        self.reactor = FakeReactor()
        self.got: list[bytes] = []
        self.reasons: list[str] = []
        self.all_sent = 0
        self.still_owes = False  # to a peer that sends no more
        self.link = Link(self.reactor, self.socket, self)  # type: ignore[arg-type]

    def received(self, data: bytes, now: float) -> None:
        self.got.append(data)

    def lost(self, reason: str) -> None:
        self.reasons.append(reason)

    def peer_ended(self) -> bool:
        return self.still_owes

    def sent_all(self) -> None:
        self.all_sent += 1

    def writable(self, room: int = 1 << 30) -> None:
        assert self.reactor.events is not None
        assert self.reactor.events & WRITE
        self.socket.room = room
        self.link.on_event(WRITE)


def test_what_is_written_leaves_at_the_end_of_the_batch_in_one_piece() -> None:
    ends = Ends()
    ends.link.write(b"one")
    ends.link.write(b"two")
    assert ends.socket.taken == b""
    ends.reactor.flush()
    assert ends.socket.taken == b"onetwo"
    assert (ends.link.queued, ends.link.touched, ends.link.unsent) == (6, 6, 0)


@pytest.mark.parametrize("size", [100_000, 262_144, 300_000, 1_048_576])
def test_whoever_wrote_much_is_told_when_it_has_left(size: int) -> None:
    """A client that is read no further until its answers are taken would otherwise never be read again."""
    ends = Ends()
    ends.link.write(b"x" * size)
    ends.reactor.flush()
    assert ends.link.unsent, "so much is not sent in one go: other links want their turn"
    while ends.link.unsent:
        ends.writable()
    assert ends.socket.taken == b"x" * size
    assert ends.all_sent == 1
    assert ends.reactor.events == READ


@pytest.mark.parametrize("room", [1, 7, 1000])
def test_short_writes_lose_and_repeat_nothing(room: int) -> None:
    ends = Ends(room)
    data = bytes(range(256)) * 20
    ends.link.write(data)
    ends.reactor.flush()
    ends.link.write(b"more")
    while ends.link.unsent:
        ends.writable(room)
    assert ends.socket.taken == data + b"more"


def test_what_a_blocked_socket_may_have_taken_counts_as_touched() -> None:
    ends = Ends(room=0)
    ends.link.write(b"x" * 10)
    ends.reactor.flush()
    assert ends.link.touched == 10
    ends.link.write(b"y" * 10)
    ends.reactor.flush()
    assert ends.link.touched == 10, "it was never offered"


def test_what_a_broken_socket_refused_was_never_seen() -> None:
    ends = Ends()
    ends.link.write(b"x" * 10)
    ends.socket.error = BrokenPipeError(32, "Broken pipe")
    ends.reactor.flush()
    assert ends.link.touched == 0
    assert ends.reasons == ["broken pipe"]
    assert ends.socket.closed


def test_a_loss_is_told_once_and_a_close_never() -> None:
    ends = Ends()
    ends.socket.coming = [b""]
    ends.link.on_event(READ)
    ends.link.lose("again")
    assert ends.reasons == ["closed by the peer"]
    other = Ends()
    other.link.close()
    other.link.lose("late")
    assert other.reasons == []


def test_a_paused_link_is_not_read_but_notices_its_end() -> None:
    ends = Ends()
    ends.socket.coming = [b"data"]
    ends.link.pause_reading()
    ends.link.on_event(READ)
    assert ends.got == []
    ends.link.resume_reading()
    ends.link.on_event(READ)
    assert ends.got == [b"data"]
    ends.link.pause_reading()
    ends.link.on_event(select.EPOLLHUP)
    assert ends.reasons == ["the connection broke"]


def test_after_finish_what_is_written_is_dropped_and_what_comes_is_not_looked_at() -> None:
    ends = Ends()
    ends.link.write(b"last")
    ends.link.finish()
    ends.link.write(b"late")
    ends.reactor.flush()
    assert ends.socket.taken == b"last"
    ends.socket.coming = [b"more"]
    assert ends.link.open
    assert ends.got == []


def test_a_link_is_handed_over_with_everything_that_it_will_read() -> None:
    first, second = Ends(), Ends()
    first.socket.coming = [b"one", b"two"]
    first.link.pull()
    first.link.hand_over(second)
    first.link.pull()
    first.link.lose("closed by the peer")
    assert (first.got, second.got) == ([b"one"], [b"two"])
    assert (first.reasons, second.reasons) == ([], ["closed by the peer"])


@pytest.mark.parametrize("room", [1 << 30, 3])
def test_a_peer_that_sends_no_more_still_gets_what_it_is_owed(room: int) -> None:
    ends = Ends(room)
    ends.still_owes = True
    ends.socket.coming = [b""]
    ends.link.pull()
    assert ends.reasons == []
    assert ends.reactor.events == 0, "its end would be told for ever"
    ends.link.write(b"an answer")
    ends.link.finish()
    ends.reactor.flush()
    while ends.link.open:
        ends.writable(room)
    assert ends.socket.taken == b"an answer"
    assert ends.reasons == ["closed by the peer"]
    assert ends.reactor.events is None


def test_a_peer_that_is_owed_nothing_is_gone_with_its_end() -> None:
    ends = Ends()
    ends.socket.coming = [b""]
    ends.link.pull()
    assert ends.reasons == ["closed by the peer"]


def test_a_socket_that_cannot_be_registered_is_closed() -> None:
    sock, reactor = FakeSocket(0), FakeReactor()
    reactor.error = OSError(errno.ENOSPC, "fs.epoll.max_user_watches is reached")
    with pytest.raises(OSError, match="max_user_watches"):
        Link(reactor, sock, Ends())  # type: ignore[arg-type]
    assert sock.closed


def test_a_socket_that_the_reactor_cannot_forget_is_closed() -> None:
    ends = Ends()
    ends.reactor.error = ValueError("I/O operation on closed epoll object")
    with pytest.raises(ValueError, match="closed epoll"):
        ends.link.close()
    assert ends.socket.closed
    assert not ends.link.open
