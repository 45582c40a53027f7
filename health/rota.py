"""Several processes that look at the same devices by turns, so that together they look as often as one. Pure.

The turns go by the machine's clock, which is the same for all. So none needs to hear of the others, and where
something has made all of them look at once, their next looks are spread over the time again.
"""

from __future__ import annotations


class Rota:
    """The place of one process among ``count``."""

    def __init__(self, number: int = 1, count: int = 1) -> None:
        """``number``: from 1."""
        self.number = number
        self.count = count

    def wait(self, every: float, now: float) -> float:
        """Seconds until this one's turn, where somebody is to look every so many seconds; never less than half that."""
        if self.count == 1:
            return every
        wait = (self.number * every - now) % (every * self.count)
        return wait if wait >= every / 2.0 else wait + every * self.count
