"""One trio task that waits on a private epoll and runs the handlers of all links in batches.

Why not a task per connection: docs/adr/0001-reactor.md. Handlers are synchronous, never block and never await; what
they write is sent once at the end of the batch, so that many messages to one peer share a TLS record and a system call.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from .link import Link

_READABLE: Final[int] = select.EPOLLIN
_EVENTS_PER_POLL: Final = 64
_POLLS_PER_TURN: Final = 4  # then other trio tasks get a turn, so that one loud client starves nobody


class Reactor:
    """Registers links and calls them when their sockets can be read or written.

    ``clock`` gives seconds, monotonic. ``failed`` is told of an exception that left a link's handler: only that link
    is lost. All methods must be called on the trio thread.
    """

    def __init__(self, clock: Callable[[], float], failed: Callable[[BaseException], None]) -> None:
        self._epoll = select.epoll()
        self._links: dict[int, Link] = {}
        self.to_flush: Final[list[Link]] = []  # have something to send; flushed at the end of the batch, or by `flush`
        self._failed = failed
        self.clock = clock
        self.failures = 0  # exceptions that left a handler
        # Where there are other workers: what they did is looked at before a batch, what was done is said after it.
        self.look: Callable[[], None] | None = None
        self.publish: Callable[[], None] | None = None

    @property
    def links(self) -> int:
        """How many links are registered."""
        return len(self._links)

    def register(self, link: Link, fd: int, events: int) -> None:
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

    async def run(self) -> None:
        """Serve until cancelled; links may be closed and flushed after that."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for _ in range(_POLLS_PER_TURN):
                if not self.run_batch():
                    break

    def close(self) -> None:
        """When no link is left."""
        self._epoll.close()

    def run_batch(self) -> bool:
        """Handle one batch of events; says whether there was any."""
        ready = self._epoll.poll(0, _EVENTS_PER_POLL)
        links = self._links
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
        self.flush()
        return bool(ready)

    def _handler_failed(self, link: Link, exc: Exception) -> None:
        self.failures += 1
        self._failed(exc)
        try:
            link.lose("a fault of the proxy's own")
        except Exception as again:  # noqa: BLE001 - even a handler that cannot be told must not end the reactor
            self._failed(again)
