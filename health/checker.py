"""One trio task per device that pings it and tells the tracker. How a ping travels is the caller's business."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from .tracker import HealthTracker

_AT_MOST_EVERY = 0.1  # seconds between the end of a ping and the next, however often the alarm rings


class PingFailed(Exception):  # noqa: N818 - named for what happened
    """A ping was not answered as it should be. ``for_certain``: nobody listens there."""

    def __init__(self, reason: str, *, for_certain: bool = False) -> None:
        super().__init__(reason)
        self.for_certain = for_certain


class Alarm:
    """Wakes the checker before its time, as often as it is rung; ringing twice wakes once."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Until rung, ``seconds`` at most."""
        with trio.move_on_after(seconds):
            await self._event.wait()
        self._event = trio.Event()


async def check(
    tracker: HealthTracker,
    ping: Callable[[], Awaitable[float]],
    changed: Callable[[], None],
    alarm: Alarm,
    clock: Callable[[], float],
) -> None:
    """Ping for ever. ``ping`` gives the seconds it took, or raises `PingFailed`; ``changed`` is called after each.

    The alarm asks for a ping at once, but never more often than a tenth of a second after the last.
    """
    while True:
        try:
            seconds = await ping()
        except PingFailed as exc:
            tracker.ping_failed(str(exc), clock(), for_certain=exc.for_certain)
        else:
            tracker.ping_answered(seconds, clock())
        changed()
        await trio.sleep(_AT_MOST_EVERY)
        await alarm.wait(max(tracker.until_next_ping(clock()) - _AT_MOST_EVERY, 0.0))
