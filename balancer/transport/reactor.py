"""One trio task that waits on a private epoll and runs the handlers of all links in batches.

Why not a task per connection: docs/adr/0001-reactor.md. Handlers are synchronous, never block and never await; what
they write is sent once at the end of the batch, so that many messages to one peer share a TLS record and a system call.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio

from .pollable import Pollable

if TYPE_CHECKING:
    from .link import Link

_READABLE: Final[int] = select.EPOLLIN
_EVENTS_PER_POLL: Final = 64
_EVENTS_PER_TURN: Final = 192  # then other trio tasks get a turn, so that loud clients starve nobody: about 4 ms
_WAIT: Final = 0.001  # seconds, the least that epoll knows
_WAITING_PER_TURN: Final = 0.002  # seconds after which a turn waits no more
_TOIL_PER_BATCH: Final = 4  # steps of handshakes, half a millisecond each, then answers are sent and others read
_TOIL: Final = 24  # events that one of them counts for in a turn
_CATCH_UP: Final = 8  # batches, at most
_PATIENCE_LOST: Final = 64  # turns without waiting after a wait in vain, at most


class Reactor:
    """Registers links and calls them when their sockets can be read or written.

    ``clock`` gives seconds, monotonic. ``failed`` is told of an exception that left a link's handler: only that link
    is lost. All methods must be called on the trio thread.
    """

    def __init__(self, clock: Callable[[], float], failed: Callable[[BaseException], None]) -> None:
        self._epoll = select.epoll()
        self._links: dict[int, Pollable] = {}
        self._toil = 0  # steps in this batch
        self.to_flush: Final[list[Link]] = []  # have something to send; flushed at the end of the batch, or by `flush`
        self.resting: list[Link] = []  # go on in the next batch
        self._failed = failed
        self.clock = clock
        self.failures = 0  # exceptions that left a handler
        self._impatience = 0  # waits in vain, in a row
        self._not_waiting = 0  # turns still without waiting
        # Where there are other workers: what they did is looked at before a batch, what was done is said after it.
        self.look: Callable[[], None] | None = None
        self.publish: Callable[[], None] | None = None

    @property
    def links(self) -> int:
        """How many links are registered, and connections that shake hands."""
        return len(self._links)

    def may_toil(self) -> bool:
        """Ask before work of half a millisecond, such as a handshake's; where it is False, do it at the next event."""
        if self._toil >= _TOIL_PER_BATCH:
            return False
        self._toil += 1
        return True

    def register(self, link: Pollable, fd: int, events: int) -> None:
        self._epoll.register(fd, events)
        self._links[fd] = link

    def modify(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Forget a link. Must come before its socket is closed."""
        del self._links[fd]
        self._epoll.unregister(fd)

    def flush(self) -> None:
        """Send what the links have to send. Whoever calls links outside of their handlers calls this afterwards."""
        unsent = self.to_flush
        for link in unsent:  # also what is added meanwhile
            try:
                link.flush()
            except Exception as exc:  # noqa: BLE001 - the barrier: a fault costs its own link only
                self._handler_failed(link, exc)
        unsent.clear()
        if self.publish is not None:
            self.publish()

    def catch_up(self) -> None:
        """Handle what has come until now. Not for handlers."""
        for _ in range(_CATCH_UP):
            if self.run_batch() < _EVENTS_PER_POLL:
                return

    async def run(self) -> None:
        """Serve until cancelled; links may be closed and flushed after that."""
        while True:
            if self.resting:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
            self._take_turn()

    def close(self) -> None:
        """When no link is left."""
        self._epoll.close()

    def _take_turn(self) -> None:
        """Handle what comes, until nothing does or other tasks must have their turn.

        That costs more than a request. So where few clients ask, the answer of a device, or the next request, is waited
        for here; where such a wait was in vain, not again for a while.
        """
        handled = self.run_batch()
        waits_until = 0.0
        while handled < _EVENTS_PER_TURN:
            count = self.run_batch()
            if not count:
                now = self.clock()
                if not waits_until:
                    waits_until = now + _WAITING_PER_TURN
                if self._not_waiting or now >= waits_until:
                    break
                count = self.run_batch(_WAIT)
                if not count:
                    self._impatience += 1
                    self._not_waiting = min(1 << self._impatience, _PATIENCE_LOST)
                    return
                self._impatience = 0
            handled += count
        if self._not_waiting:
            self._not_waiting -= 1

    def run_batch(self, wait: float = 0.0) -> int:
        """Handle one batch of events; gives their number. ``wait``: seconds for one to come."""
        rested = self.resting
        if rested:
            self.resting = []
            wait = 0.0
        ready = self._epoll.poll(wait, _EVENTS_PER_POLL)
        links = self._links
        self._toil = 0
        if self.look is not None and ready:
            self.look()
        for fd, events in ready:
            link = links.get(fd)
            if link is None:
                continue  # closed by a handler earlier in this batch
            try:
                if events == _READABLE:
                    link.pull()
                else:
                    link.on_event(events)
            except Exception as exc:  # noqa: BLE001 - the barrier: a fault costs its own link only
                self._handler_failed(link, exc)
        count = len(ready) + self._toil * _TOIL
        if rested and rested is not self.resting:
            count += len(rested)
            for link in rested:
                try:
                    link.go_on()
                except Exception as exc:  # noqa: BLE001 - the barrier: a fault costs its own link only
                    self._handler_failed(link, exc)
        self.flush()
        return count

    def _handler_failed(self, link: Pollable, exc: Exception) -> None:
        self.failures += 1
        self._failed(exc)
        try:
            link.lose("a fault of the proxy's own")
        except Exception as again:  # noqa: BLE001 - even a handler that cannot be told must not end the reactor
            self._failed(again)
