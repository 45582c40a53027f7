"""What a link tells, and to whom. Pure, so that what is told may be."""

from __future__ import annotations


class LinkHandler:
    """Who is told of what happens on a link. Must not block; may close the link at any time.

    A base class rather than a protocol, so that a compiled call needs no look-up.
    """

    __slots__ = ()

    def received(self, data: bytes, now: float) -> None:
        """Bytes came. ``now``: the reactor's clock, seconds."""
        raise NotImplementedError

    def lost(self, reason: str) -> None:
        """The link is gone, by its peer or by a fault; not called when `Link.close` was. Called at most once."""
        raise NotImplementedError

    def peer_ended(self) -> bool:
        """The peer sends no more, and may still read; whether to keep the link, until the handler finishes it."""
        return False

    def go_on(self) -> None:
        """It asked for that with `Link.rest`: others had their turn."""

    def sent_all(self) -> None:
        """What was held back because the peer was slow is now sent."""
        raise NotImplementedError
