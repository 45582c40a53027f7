"""What happened that people ask about afterwards: who did what, when, from where, and what came of it.

One `Event` feeds the dashboard's timeline, the audit file and syslog, so that these cannot disagree. It never holds a
field of a message, a password or a key.
"""

from __future__ import annotations

import enum
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import attrs
import structlog

PROXY: Final = "guardian"  # who did what nobody asked for
_KEPT: Final = 500  # events that somebody who looks now still sees


class Kind(enum.Enum):
    START = "start"
    STOP = "stop"
    RELOAD = "reload"
    UPGRADE = "upgrade"  # another process takes over
    WORKER = "worker"  # one of several processes serves, or has ended
    WILL = "will"  # an operator wants something of a device
    DEVICE = "device"  # the belief in a device changed
    FAILOVER = "failover"  # another device stands in for one
    WRITE = "write"  # a write is in doubt
    LOGIN = "login"  # of a client
    CLIENT = "client"  # a connection was refused
    BLOCKED = "blocked"  # a request was
    OPERATOR = "operator"  # was refused on the admin port, or did there what is no change
    AUDIT = "audit"  # the record of all this itself


# What the timeline leaves out: a client can cause as many of these as it likes.
_OF_CLIENTS: Final = frozenset({Kind.LOGIN, Kind.CLIENT, Kind.BLOCKED, Kind.OPERATOR})


@attrs.frozen(kw_only=True)
class Actor:
    """Who asks for something."""

    name: str  # an operator's, or a certificate's Common Name
    source: str  # the address it came from, or what stands for one


@attrs.frozen(kw_only=True)
class Event:
    number: int  # from 1, counted by one process
    at: float  # Unix time
    kind: Kind
    who: str
    source: str  # from where; empty where it came from within
    what: str  # `group/device`, `group/COMMAND`, a listener
    result: str  # one word, of a bounded set for each kind
    detail: str = ""  # for people


class Events:
    """Tells everybody who subscribed, at once and on the loop; a subscriber must not wait."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """``wall``: Unix time."""
        self._wall = wall
        self._number = 0
        self._recent: deque[Event] = deque(maxlen=_KEPT)
        self._subscribers: tuple[Callable[[Event], None], ...] = ()

    def tell(self, kind: Kind, what: str, result: str, *, by: Actor | None = None, detail: str = "") -> Event:
        """``by``: None for what the proxy does by itself."""
        self._number += 1
        event = Event(
            number=self._number,
            at=self._wall(),
            kind=kind,
            who=by.name if by else PROXY,
            source=by.source if by else "",
            what=what,
            result=result,
            detail=detail,
        )
        self._spread(event)
        return event

    def pass_on(self, event: Event, worker: int) -> None:
        """What another process told; its detail says which."""
        self._number += 1
        detail = ", ".join(part for part in (event.detail, f"worker {worker}") if part)
        self._spread(attrs.evolve(event, number=self._number, detail=detail))

    def _spread(self, event: Event) -> None:
        kind = event.kind
        if kind not in _OF_CLIENTS:
            self._recent.append(event)
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception as exc:  # noqa: BLE001 - the barrier: what is told must not fail for who listens
                structlog.get_logger().error("an event was not taken", kind=kind.value, exc_info=exc)

    def subscribe(self, subscriber: Callable[[Event], None]) -> Callable[[], None]:
        """Gives what ends it."""
        self._subscribers = (*self._subscribers, subscriber)

        def end() -> None:
            self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)

        return end

    def since(self, number: int) -> Iterable[Event]:
        """What the timeline shows after the event of that number, oldest first."""
        return [event for event in self._recent if event.number > number]
