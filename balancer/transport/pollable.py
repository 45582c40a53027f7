"""What the reactor calls when its socket can be read or written."""

from __future__ import annotations


class Pollable:
    """A base class rather than a protocol, so that a compiled call needs no look-up. Must not block."""

    __slots__ = ()

    def pull(self) -> None:
        """There is something to read, and nothing else to be told."""
        raise NotImplementedError

    def on_event(self, events: int) -> None:
        """Anything else that epoll tells."""
        raise NotImplementedError

    def lose(self, reason: str) -> None:
        """Close because of a fault."""
        raise NotImplementedError
