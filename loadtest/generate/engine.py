"""The loop of one process: sends what is due, reads what has come, tells each second.

No task per connection and no trio here: a loop that wakes within microseconds of a moment is what an open loop needs,
and trio's epoll counts in milliseconds.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from .answers import DIFFERENT, UNASKED, WRONGS, judge
from .arrivals import Share, Stretch, stretches
from .connection import Connection, Peer, Pending, State
from .mix import Mix
from .roster import Roster
from .scenario import Scenario
from .tally import Second, Tally

SECOND: Final = 1.0
_SWEEP: Final = 0.1  # seconds between two looks for what takes too long, and for who has to connect again
_EVENTS_OF_PASS: Final = 64
_ARRIVALS_OF_PASS: Final = 32  # then they are really sent, and answers read
_SETTLING: Final = 0.15  # seconds after the last handshake: TLS 1.3 tells a client that it is refused only then
LOST: Final = "lost with the connection"
TIMED_OUT: Final = "no answer in time"
TOO_SLOW: Final = "not connected in time"
NOT_TO_BE_TRUSTED: Final = "closed by us after a wrong answer"
NEVER_SENT: Final = "never sent: no connection was free in time"


class Engine:
    """One process's part of a scenario. ``tell`` takes each second; times are `time.monotonic`'s seconds."""

    def __init__(
        self,
        scenario: Scenario,
        share: Share,
        peers: Sequence[Peer],
        logins: Sequence[bytes],
        arrivals: Iterator[float],
        mix: Mix,
        tell: Callable[[Second], None],
    ) -> None:
        """``logins``: RKLG messages that the connections take in turns; none for no login."""
        self._scenario = scenario
        self._closed_loop = scenario.loop == "closed"
        self._depth = scenario.allowed
        self._mix = mix
        self._tell = tell
        self._arrivals = arrivals
        self._epoll = select.epoll()
        self._roster = Roster(
            [
                Connection(
                    number,
                    peers[number % len(peers)],
                    logins[number % len(logins)] if logins else None,
                    self._epoll,
                    self._changed,
                )
                for number in share.numbers(scenario.connections)
            ]
        )
        self._waiting: deque[tuple[float, bool]] = deque()  # arrivals for which there was no room: moment, measured
        self._to_flush: list[Connection] = []
        self._tally = Tally(scenario.late)
        self._outstanding = 0
        self._stretches: list[Stretch] = stretches(scenario.phases)
        self._start = 0.0  # 0: not yet
        self._ends = 0.0
        self._next_due: float | None = None
        self._measured = False  # whether the next arrival is
        self._stopping = False

    # ---- before the run

    def connect(self) -> dict[str, int]:
        """Try every connection once; gives why some are not ready. Returns when all are settled, or in time."""
        deadline = time.monotonic() + self._scenario.connect_timeout
        settled, connected = 0.0, -1
        while (now := time.monotonic()) < deadline:
            self._roster.open_some(now, again=False)
            if self._roster.shaking or self.connected != connected:
                settled, connected = now, self.connected
            elif now - settled > _SETTLING:
                break
            self._handle(0.02)
        for connection in list(self._roster.shaking):
            connection.close(TOO_SLOW, now)
        return self._tally.take_events()

    @property
    def connected(self) -> int:
        return self._roster.connected

    # ---- the run

    def run(self, start: float, stop: Callable[[], bool] = lambda: False) -> None:
        """From the moment ``start`` until all phases are over and all answers there, or too late.

        ``stop`` is asked ten times a second whether to send no more.
        """
        self._start, self._ends = start, start + self._scenario.seconds
        self._begin_arrivals()
        number, sweep = 0, start
        while True:
            now = time.monotonic()
            if now >= sweep:
                self._stopping = self._stopping or stop()
                self._sweep(now)
                sweep = now + _SWEEP
                if self._over(now):
                    break
            if now >= start + (number + 1) * SECOND:
                self._tell(self._take(number))
                number += 1
            self._handle(self._pause(now, min(sweep, start + (number + 1) * SECOND)))
        self._tell(self._take(number))
        for connection in self._roster.all:
            if connection.state is not State.CLOSED:
                connection.close("", now)
        self._epoll.close()

    def _begin_arrivals(self) -> None:
        if not self._closed_loop:
            self._next_arrival()

    def _take(self, number: int) -> Second:
        return self._tally.take(
            number, connected=self._roster.connected, outstanding=self._outstanding + len(self._waiting)
        )

    def _over(self, now: float) -> bool:
        sending = now < self._ends and not self._stopping
        return not (
            sending or self._waiting or self._outstanding or (self._next_due is not None and not self._stopping)
        )

    def _pause(self, now: float, until: float) -> float:
        if self._next_due is not None and not self._stopping:
            until = min(until, self._next_due)
        return max(0.0, until - now)

    def _handle(self, pause: float) -> None:
        """One pass: wait at most ``pause`` seconds, read, send."""
        # select() counts in microseconds, where epoll's own waiting counts in milliseconds.
        if pause > 0:
            select.select([self._epoll], [], [], pause)
        began = time.monotonic()
        for fd, events in self._epoll.poll(0, _EVENTS_OF_PASS):
            connection = self._roster.by_fd(fd)
            if connection is None:
                continue  # closed earlier in this pass
            now = time.monotonic()
            for piece in connection.on_event(events, now):
                if connection.state is State.READY:  # not after a wrong answer among them
                    self._piece(connection, piece, now)
        if self._start:
            self._send_due()
            flushing, self._to_flush = self._to_flush, []
            for connection in flushing:
                connection.flush(time.monotonic())
            self._tally.passed(time.monotonic() - began)

    def _send_due(self) -> None:
        if self._next_due is None or self._stopping:
            return
        for _ in range(_ARRIVALS_OF_PASS):
            due, now = self._next_due, time.monotonic()
            if due is None or due > now:
                return
            measured = self._measured
            second = self._tally.second
            if measured:
                self._tally.arrived(now - due)
            else:
                second.early += 1
            if now - due > self._scenario.timeout:
                second.skipped += measured
            elif not self._waiting and (connection := self._roster.free(self._depth)) is not None:
                self._send(connection, due, measured, now)
            else:
                second.waited += measured
                self._waiting.append((due, measured))
            self._next_arrival()

    def _next_arrival(self) -> None:
        moment = next(self._arrivals, None)
        if moment is None:
            self._next_due = None
        else:
            self._next_due = self._start + moment
            self._measured = self._stretch(moment).phase.measured

    def _stretch(self, moment: float) -> Stretch:
        """Where that moment of the run lies; moments must not go back."""
        while len(self._stretches) > 1 and moment >= self._stretches[0].ends:
            del self._stretches[0]
        return self._stretches[0]

    def _send(self, connection: Connection, due: float, measured: bool, now: float) -> None:
        template, tag = self._mix.draw()
        request = template.request(tag)
        connection.pending.append(Pending(due, now, template, tag, measured, request if self._scenario.echo else None))
        self._outstanding += 1
        self._tally.second.sent += measured
        if connection.write(request):
            self._to_flush.append(connection)

    def _piece(self, connection: Connection, piece: bytes, now: float) -> None:
        """An answer came, or what should have been one."""
        if not connection.pending:
            self._tally.failed(UNASKED)
            connection.close(UNASKED, now)
            return
        connection.tries = 0
        pending = connection.pending.popleft()
        self._outstanding -= 1
        failure = judge(piece, pending.template, pending.tag)
        if failure is None and pending.request is not None and pending.request != piece:
            failure = DIFFERENT
        if failure in WRONGS:  # also of a warm-up: nothing excuses it
            self._tally.failed(failure)
        elif not pending.measured:
            self._tally.second.warmup += 1
        elif failure is None:
            self._tally.answered(pending.template.label, now - pending.due, now - pending.sent)
        else:
            self._tally.failed(failure)
        if failure in WRONGS:
            connection.close(NOT_TO_BE_TRUSTED, now)
        else:
            self._next_request(connection, now)

    def _next_request(self, connection: Connection, now: float) -> None:
        """A connection has room for one more."""
        if self._closed_loop:
            if self._start and now < self._ends and not self._stopping:
                stretch = self._stretch(now - self._start)
                if connection.number < stretch.clients(now - self._start, self._scenario.connections):
                    self._send(connection, now, stretch.phase.measured, now)
        elif self._waiting:
            due, measured = self._waiting.popleft()
            self._send(connection, due, measured, now)
        elif not connection.pending:
            self._roster.idle(connection)

    # ---- connections come and go

    def _changed(self, connection: Connection, reason: str) -> None:
        self._roster.changed(connection)
        if connection.state is State.READY:
            for _ in range(self._depth):
                self._next_request(connection, connection.since)
        elif connection.state is not State.LOGIN:
            lost = connection.pending
            self._outstanding -= len(lost)
            for number, pending in enumerate(lost):
                if pending.measured:
                    self._tally.failed(TIMED_OUT if reason == TIMED_OUT and number == 0 else LOST)
            lost.clear()
            if reason:
                self._tally.happened(reason)

    def _sweep(self, now: float) -> None:
        """Look for what took too long; connect again; start who takes part in the closed loop from now on."""
        timeout = self._scenario.timeout
        for connection in self._roster.some():
            if connection.state is State.READY:
                if connection.pending and now - connection.pending[0].sent > timeout:
                    connection.close(TIMED_OUT, now)
                elif self._closed_loop and not connection.pending:
                    for _ in range(self._depth):
                        self._next_request(connection, now)
        for connection in [each for each in self._roster.shaking if now - each.since > self._scenario.connect_timeout]:
            connection.close(TOO_SLOW, now)
        while self._waiting and (now - self._waiting[0][0] > timeout or self._stopping or self._roster.hopeless):
            _, measured = self._waiting.popleft()
            if measured and not self._stopping:
                self._tally.failed(NEVER_SENT)
        if not self._stopping and (now < self._ends or self._waiting):
            self._roster.open_some(now, again=True)
