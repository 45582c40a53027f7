"""One socket in the reactor, TLS or clear: bytes in, bytes out, loss told exactly once."""

from __future__ import annotations

import contextlib
import functools
import select
import socket
import ssl
from collections.abc import Callable
from typing import Final

from balancer.wire.frames import SHORT

from .handler import LinkHandler
from .pollable import Pollable
from .reactor import Reactor

_READ_SIZE: Final = SHORT  # a TLS record at most, so that nothing stays behind inside OpenSSL where epoll cannot see it
_FIRST_SIZE: Final = 472  # until more comes at once: what Python allocates without malloc, and most messages fit
_SEND_SIZE: Final = 65_536  # bytes a flush sends before other links get their turn
_TLS_RECORD: Final = 16_384
_READ: Final[int] = select.EPOLLIN
_WRITE: Final[int] = select.EPOLLOUT
_BROKEN: Final[int] = select.EPOLLHUP | select.EPOLLERR


class Link(Pollable):
    """A connected, handshaken, non-blocking socket, registered from construction to `close` or loss.

    The socket is the link's own from then on, and closed also where it cannot be registered, which raises OSError.

    ``queued`` counts all bytes given to `write` since the start, ``taken`` how many of them the kernel has taken.
    """

    __slots__ = (
        "_blocked",
        "_clock",
        "_draining",
        "_events",
        "_fd",
        "_finishing",
        "_handler",
        "_maybe_sent",
        "_out",
        "_peer_ended",
        "_pending",
        "_reactor",
        "_read_size",
        "_recv",
        "_rest",
        "_send",
        "_socket",
        "_to_flush",
        "open",
        "queued",
        "taken",
    )

    def __init__(self, reactor: Reactor, sock: socket.socket, handler: LinkHandler) -> None:
        self._reactor = reactor
        self._socket = sock
        self._fd = sock.fileno()
        self._handler = handler
        self._to_flush = reactor.to_flush
        self._clock = reactor.clock
        self._recv, self._send, self._pending = _reading_and_writing(sock)
        self._read_size = _FIRST_SIZE
        self._out: list[bytes] = []
        self._rest = b""  # was offered to the socket and not taken yet
        self._blocked = False  # waits for EPOLLOUT
        self._finishing = False  # end the sending side once everything is sent
        self._peer_ended = False  # it sends no more, but is still owed something
        self._draining = False  # the sending side has ended: what still comes is thrown away
        self.taken = 0
        self._events = _READ
        self._maybe_sent = 0  # of `queued`: may have left, though nobody said so
        self.queued = 0
        self.open = True
        try:
            reactor.register(self, self._fd, _READ)
        except OSError:  # as when fs.epoll.max_user_watches is reached
            self.open = False
            sock.close()
            raise

    @property
    def socket(self) -> socket.socket:
        """For facts about the connection (addresses, certificate); never to read or write."""
        return self._socket

    def hand_over(self, handler: LinkHandler) -> None:
        """From now on another one is told what happens."""
        self._handler = handler

    def write(self, data: bytes) -> None:
        """Send these bytes at the end of the batch. Bytes for a closed or finished link are dropped."""
        if self._finishing or not self.open:
            return
        out = self._out
        if not out and not self._blocked:
            self._to_flush.append(self)
        out.append(data)
        self.queued += len(data)

    @property
    def unsent(self) -> int:
        """Bytes given to `write` that the kernel has not taken yet."""
        return self.queued - self.taken if self.open else 0

    @property
    def touched(self) -> int:
        """How many of the bytes given to `write` may have left: what lies behind them was never seen by the peer."""
        return max(self.taken, self._maybe_sent)

    def flush(self) -> None:
        """Called by the reactor, once per batch and link."""
        if self._blocked or not self.open:
            return
        out = self._out
        if len(out) == 1 and not self._finishing and len(out[0]) <= _TLS_RECORD:
            data = out[0]
            try:
                count = self._send(data)
            except OSError:
                self._push()  # tries again, and sees to what went wrong
                return
            self.taken += count
            if count == len(data):
                out.clear()
                return
            out[0] = data[count:]
        self._push()

    def pause_reading(self) -> None:
        self._want(self._events & ~_READ)

    def resume_reading(self) -> None:
        if not self._peer_ended:
            self._want(self._events | _READ)

    def rest(self) -> None:
        """Let others have their turn: the handler is told to go on in the next batch."""
        self._reactor.resting.append(self)

    def go_on(self) -> None:
        """Called by the reactor, after `rest`."""
        if self.open:
            self._handler.go_on()

    def finish(self) -> None:
        """Send what is left, say the end, then throw away what comes until the peer ends too.

        So the peer can still read the last answer: closing at once with its bytes unread would reset the connection
        and take the answer away. The owner closes the link in the end, when the peer takes too long.
        """
        if self._finishing or not self.open:
            return
        self._finishing = True
        self.resume_reading()
        if not self._out and not self._blocked:
            self._end_sending()

    def close(self) -> None:
        """Close now; the handler is not told. Says goodbye to a TLS peer if that takes no waiting."""
        if not self.open:
            return
        self._say_goodbye()
        self._drop()

    def lose(self, reason: str) -> None:
        """Close because of a fault; the handler is told."""
        if self.open:
            self._drop()
            self._handler.lost(reason)

    def on_event(self, events: int) -> None:
        """Called by the reactor, for anything but a plain `EPOLLIN`: that is `pull`."""
        if events & _WRITE and self._blocked:
            self._blocked = False
            self._want(self._events & ~_WRITE)
            self._push()
            if self.open and not self._blocked and not self._finishing:
                self._handler.sent_all()
        if not self.open:
            return
        if self._events & _READ:
            if events & ~_WRITE:
                self.pull()
        elif events & _BROKEN:
            self.lose("the connection broke")

    def pull(self) -> None:
        """Called by the reactor: there is something to read."""
        try:
            data = self._recv(self._read_size)
            if len(data) == _FIRST_SIZE:
                data = self._read_on(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self.lose(_describe(exc))
            return
        if not data:
            if not self._finishing and self._handler.peer_ended():
                self._peer_ended = True
                self.pause_reading()  # it would be told of the end again and again
            else:
                self._say_goodbye()  # OpenSSL lets nobody resume a session that ended without
                self.lose("closed by the peer")
        elif not self._finishing:
            self._handler.received(data, self._clock())

    def _read_on(self, data: bytes) -> bytes:
        """Take the rest of a TLS record, which epoll does not tell of; from now on more is read at once."""
        self._read_size = _READ_SIZE
        return data + self._recv(_READ_SIZE - len(data)) if self._pending is not None and self._pending() else data

    def _push(self) -> None:
        """Send up to `_SEND_SIZE` bytes; wait for EPOLLOUT where more is left."""
        out = self._out
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        if self._rest:
            data = self._rest + data
        start = 0
        size = len(data)
        while start < size and start < _SEND_SIZE:
            try:
                count = self._send(data[start:_SEND_SIZE] if start or size > _SEND_SIZE else data)
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError, InterruptedError):
                # OpenSSL may have sent a part of the record, or the kernel nothing: count it as gone.
                self._maybe_sent = self.taken + min(size - start, _TLS_RECORD)
                break
            except OSError as exc:
                self.lose(_describe(exc))
                return
            start += count
            self.taken += count
        if start < size:
            self._rest = data[start:]
            self._blocked = True
            self._want(self._events | _WRITE)
        else:
            self._rest = b""
            if self._finishing:
                self._end_sending()

    def _end_sending(self) -> None:
        self._say_goodbye()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as exc:
            self.lose(_describe(exc))
            return
        if self._peer_ended:
            self.lose("closed by the peer")
            return
        self._draining = True
        self._recv = functools.partial(socket.socket.recv, self._socket)  # past TLS: nothing of it is looked at
        self._pending = None

    def _say_goodbye(self) -> None:
        """To a TLS peer, unless it was said, or would come amid what it was not sent whole."""
        if not isinstance(self._socket, ssl.SSLSocket) or self._rest or self._draining:
            return
        # Sends close_notify, then complains that the peer's has not come, or that the peer is gone.
        with contextlib.suppress(OSError, ValueError):
            self._socket.unwrap()

    def _want(self, events: int) -> None:
        if self.open and events != self._events:
            self._events = events
            self._reactor.modify(self._fd, events)

    def _drop(self) -> None:
        self.open = False
        self._out.clear()
        self._rest = b""
        # The 24 KiB that OpenSSL has for it go now: link and handler know each other, and may be collected late.
        self._recv, self._send, self._pending = _read_nothing, _write_nothing, None
        try:
            self._reactor.unregister(self._fd)
        finally:
            self._socket.close()


def _reading_and_writing(
    sock: socket.socket,
) -> tuple[Callable[[int], bytes], Callable[[bytes], int], Callable[[], int] | None]:
    """How to read, to write, and to ask what OpenSSL holds back (None without TLS).

    For TLS without Python's own two layers around OpenSSL, where they can be left out: they cost 1 µs of the 10
    that Python spends on a request, and do nothing for a non-blocking socket but to turn a missing goodbye into an
    empty read, which `_describe` does as well.
    """
    inner = getattr(sock, "_sslobj", None)
    if inner is not None:
        return inner.read, inner.write, inner.pending
    return sock.recv, sock.send, sock.pending if isinstance(sock, ssl.SSLSocket) else None


def _read_nothing(size: int) -> bytes:
    """Of a link that is closed."""
    raise ConnectionError


def _write_nothing(data: bytes) -> int:
    raise ConnectionError


def _describe(exc: OSError) -> str:
    """An error as a short phrase; OpenSSL's own words without its file and line."""
    if isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "closed by the peer"
    if isinstance(exc, ssl.SSLError):
        return f"TLS: {(exc.reason or 'error').lower().replace('_', ' ')}"
    return (exc.strerror or type(exc).__name__).lower()
