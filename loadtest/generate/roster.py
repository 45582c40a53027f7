"""Which connections there are, which are free, and who has to be opened again and when."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from .connection import Connection, State

AT_ONCE: Final = 64  # connections that shake hands
_LEAST_BACKOFF: Final = 0.1  # seconds until a lost connection is tried again; doubles each time
_MOST_BACKOFF: Final = 2.0


class Roster:
    """The connections of one process. `changed` has to be told of every change of state."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self.all: Final = list(connections)
        self.shaking: Final[set[Connection]] = set()  # being opened
        self._by_fd: dict[int, Connection] = {}
        self._closed = deque(self.all)  # to be opened
        self._given_up = 0  # not to be opened again
        # A login is tried on one connection until it is proven: many wrong ones at once could lock the account.
        self._proven: set[bytes] = set()
        self._refused: set[bytes] = set()
        self._idle: deque[Connection] = deque()  # ready with nothing pending; may hold others, which are passed over
        self._partly = deque(self.all)  # in turns, where none is idle
        # Looking at thousands of connections at once would be a late send.
        self._slices, self._slice = min(10, 1 + len(self.all) // 500), 0

    @property
    def connected(self) -> int:
        return sum(connection.state is State.READY for connection in self.all)

    @property
    def hopeless(self) -> bool:
        """Whether no connection will ever be there again."""
        return self._given_up == len(self.all)

    def by_fd(self, fd: int) -> Connection | None:
        """None for a descriptor whose connection was closed a moment ago."""
        return self._by_fd.get(fd)

    def changed(self, connection: Connection) -> None:
        if connection.state is State.READY:
            self.shaking.discard(connection)
            if connection.login is not None:
                self._proven.add(connection.login)
        elif connection.state is not State.LOGIN:
            self.shaking.discard(connection)
            self._by_fd.pop(connection.fd, None)
            if connection.state is State.CLOSED:
                self._closed.append(connection)
            else:
                self._given_up += 1
                if connection.login is not None:
                    self._refused.add(connection.login)

    def open_some(self, now: float, *, again: bool) -> None:
        """Open what is closed, a few at a time; ``again``: also what was tried before, when its pause is over."""
        closed = self._closed
        for _ in range(min(len(closed), AT_ONCE - len(self.shaking))):
            connection = closed.popleft()
            pause = min(_MOST_BACKOFF, _LEAST_BACKOFF * 2 ** min(connection.tries - 1, 10)) if connection.tries else 0.0
            if connection.login in self._refused:
                connection.state = State.GIVEN_UP
                self._given_up += 1
                continue
            too_early = connection.since and now - connection.since < pause
            if (connection.tries and not again) or too_early or self._tried_by_another(connection.login):
                closed.append(connection)
                continue
            self.shaking.add(connection)
            connection.open(now)
            if connection.state is State.CONNECTING:
                self._by_fd[connection.fd] = connection

    def _tried_by_another(self, login: bytes | None) -> bool:
        if login is None or login in self._proven:
            return False
        return any(connection.login == login for connection in self.shaking)

    def free(self, depth: int) -> Connection | None:
        """One that may have one more request, idle ones first."""
        idle = self._idle
        while idle:
            connection = idle.popleft()
            connection.idle_listed = False
            if connection.state is State.READY and not connection.pending:
                return connection
        if depth > 1:
            partly = self._partly
            for _ in range(len(partly)):
                connection = partly[0]
                partly.rotate(-1)
                if connection.state is State.READY and len(connection.pending) < depth:
                    return connection
        return None

    def idle(self, connection: Connection) -> None:
        """It is ready and has nothing pending."""
        if not connection.idle_listed:
            connection.idle_listed = True
            self._idle.append(connection)

    def some(self) -> Sequence[Connection]:
        """The next part of all, to look at."""
        self._slice = (self._slice + 1) % self._slices
        return self.all[self._slice :: self._slices]
