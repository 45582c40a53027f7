"""One connection to the target: connecting, TLS, login, then requests and their answers in order."""

from __future__ import annotations

import enum
import os
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from loadtest.framing import Cutter, Framing

from .answers import logged_in

if TYPE_CHECKING:
    from .mix import Template

_READ: Final[int] = select.EPOLLIN
_WRITE: Final[int] = select.EPOLLOUT
_READ_SIZE: Final = 16_384  # a TLS record: what is left inside OpenSSL would be invisible to epoll
_WAITS: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError, InterruptedError)
LOGIN_REFUSED: Final = "login refused"


class State(enum.Enum):
    CLOSED = "closed"  # not there; may be opened again
    CONNECTING = "connecting"  # TCP's or TLS's handshake
    LOGIN = "login"  # RKLG is sent
    READY = "ready"  # takes requests
    GIVEN_UP = "given up"  # its login was refused: trying on could lock the account


@attrs.define(eq=False)  # a frozen one takes three times as long to make
class Pending:
    """A request that was sent. Moments in seconds of the loop's clock."""

    due: float  # when it arrived by the schedule; in a closed loop, when it was sent
    sent: float
    template: Template
    tag: bytes
    measured: bool
    request: bytes | None  # kept where the answer must be the same bytes


@attrs.frozen(kw_only=True)
class Peer:
    """How to get to a target."""

    family: int
    address: tuple[object, ...]  # as socket.connect takes it
    context: ssl.SSLContext | None
    name: str  # in its certificate
    framing: Framing


class Connection:
    """Told of events by the loop that owns it; tells ``changed`` of each new state, with the reason of an end.

    ``number`` is its own among all connections of the run.
    """

    __slots__ = (
        "_changed", "_cutter", "_epoll", "_events",  "_out", "_peer", "_registered", "_rest", "_socket", "fd",
        "idle_listed",
        "login", "number", "pending", "since", "state", "tries",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        peer: Peer,
        login: bytes | None,
        epoll: select.epoll,
        changed: Callable[[Connection, str], None],
    ) -> None:
        """``login``: the RKLG message."""
        self.number = number
        self._peer = peer
        self.login = login
        self._epoll = epoll
        self._changed = changed
        self.pending: deque[Pending] = deque()
        self.state = State.CLOSED
        self.since = 0.0  # moment of the last change of state
        self.tries = 0  # since the last answer: TLS 1.3 tells a client that it is refused only after the handshake
        self.idle_listed = False  # of its owner
        self.fd = -1
        self._socket: socket.socket | None = None
        self._reset()

    def _reset(self) -> None:
        self._cutter = Cutter(self._peer.framing)
        self._out: list[bytes] = []
        self._rest = b""
        self._events = 0
        self._registered = False

    def open(self, now: float) -> None:
        """Begin to connect. Raises nothing: a failure is a change of state."""
        self.tries += 1
        self.state, self.since = State.CONNECTING, now
        try:
            sock = socket.socket(self._peer.family, socket.SOCK_STREAM)
        except OSError as exc:  # no more descriptors
            self.close(describe(exc), now)
            return
        self._socket, self.fd = sock, sock.fileno()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(self._peer.address)
        except BlockingIOError:
            pass
        except OSError as exc:
            self.close(describe(exc), now)
            return
        self._want(_WRITE)

    def close(self, reason: str, now: float, *, for_good: bool = False) -> None:
        """Away with it. The owner sees to what was pending when it is told."""
        if self._socket is not None:
            if self._registered:
                self._epoll.unregister(self.fd)
            self._socket.close()
            self._socket = None
        self.state, self.since = State.GIVEN_UP if for_good else State.CLOSED, now
        self._reset()
        self._changed(self, reason)

    def write(self, request: bytes) -> bool:
        """To be sent at the next `flush`; says whether the owner has to list it for that."""
        first = not self._out and not self._rest
        self._out.append(self._peer.framing.wrap(request))
        return first

    def flush(self, now: float) -> None:
        """Send what there is; what the socket does not take waits for it."""
        if self._socket is None or not (self._out or self._rest):
            return
        data = self._rest + b"".join(self._out)
        self._out.clear()
        try:
            count = self._socket.send(data)
        except _WAITS:
            count = 0
        except OSError as exc:
            self.close(describe(exc), now)
            return
        self._rest = data[count:]
        self._want(_READ | _WRITE if self._rest else _READ)

    def on_event(self, events: int, now: float) -> list[bytes]:
        """The pieces that came, each an answer unless it is something else."""
        if self.state is State.CONNECTING:
            self._connect(now)
            return []
        if events & _WRITE:
            self.flush(now)
        data = self._receive(now) if self._socket is not None and events & ~_WRITE else b""
        pieces = self._cutter.feed(data) if data else []
        if self.state is State.LOGIN and pieces:
            if logged_in(pieces[0]):
                self._become(State.READY, now)
            else:
                self.close(LOGIN_REFUSED, now, for_good=True)
            return []
        return pieces

    def _receive(self, now: float) -> bytes:
        """What came; nothing where nothing came, or where that was the end."""
        assert self._socket is not None, "the caller has looked"
        try:
            data = self._socket.recv(_READ_SIZE)
        except _WAITS:
            return b""
        except OSError as exc:
            self.close(describe(exc), now)
            return b""
        if not data:
            self.close("closed by the peer", now)
        return data

    def _connect(self, now: float) -> None:
        sock = self._socket
        assert sock is not None, "it has a descriptor that tells events"
        if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.close(os.strerror(error).lower(), now)
            return
        try:
            if self._peer.context is not None:
                if not isinstance(sock, ssl.SSLSocket):
                    sock = self._secure(sock, self._peer.context)
                sock.do_handshake()
        except ssl.SSLWantReadError:
            self._want(_READ)
            return
        except ssl.SSLWantWriteError:
            self._want(_WRITE)
            return
        except OSError as exc:
            self.close(describe(exc), now)
            return
        self._want(_READ)
        if self.login is None:
            self._become(State.READY, now)
        else:
            self._become(State.LOGIN, now)
            self._out.append(self._peer.framing.wrap(self.login))
            self.flush(now)

    def _secure(self, sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        # Wrapping moves the descriptor into a new object; the number, and with it epoll's entry, stays.
        wrapped = context.wrap_socket(sock, server_hostname=self._peer.name, do_handshake_on_connect=False)
        self._socket = wrapped
        return wrapped

    def _become(self, state: State, now: float) -> None:
        self.state, self.since = state, now
        self._changed(self, "")

    def _want(self, events: int) -> None:
        if not self._registered:
            self._epoll.register(self.fd, events)
            self._registered = True
        elif events != self._events:
            self._epoll.modify(self.fd, events)
        self._events = events


def describe(exc: OSError) -> str:
    """An error as a short phrase; OpenSSL's own words without its file and line."""
    if isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "closed by the peer"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"TLS: the peer's certificate: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError):
        return f"TLS: {(exc.reason or 'error').lower().replace('_', ' ')}"
    return (exc.strerror or type(exc).__name__).lower()
