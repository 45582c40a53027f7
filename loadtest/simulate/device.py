"""A model of a device: how much it does at once, how long that takes, and what is wrong with it."""

from __future__ import annotations

import enum
from heapq import heapify, heapreplace
from random import Random
from typing import TYPE_CHECKING, Final

import attrs

from .timeline import Timeline
from .workload import PING, Kind, ServiceTimes

if TYPE_CHECKING:
    from .link import ModelLink

ROUND_TRIP: Final = 0.0002  # seconds on the network, there and back
_ERROR: Final = b"[AOERRO;AM5;BBGENERAL ERROR;]"
_ERROR_SECONDS: Final = 0.0002


class Fault(enum.Enum):
    NONE = "none"
    SLOW = "slow"  # each command takes `factor` times as long
    DOWN = "down"  # its connections break and nobody listens
    HANGS = "hangs"  # it takes connections and requests, and answers nothing
    ZOMBIE = "zombie"  # it answers pings, and an error to everything else, at once
    HELD_BACK = "held back"  # it answers `rate` requests a second and lets all others wait


@attrs.frozen(kw_only=True)
class Character:
    """What a device is like. Times are seconds.

    ``episodes``: how long it is well and how long it is not, in turns; None: it never is well. ``licensed``: the proxy
    is told its rate.
    """

    parallel: int = 4  # requests it works on at once
    fault: Fault = Fault.NONE
    factor: float = 10.0
    rate: float = 0.0
    episodes: tuple[float, float] | None = None
    licensed: bool = False

    def ails(self, now: float) -> bool:
        """Whether its fault shows now."""
        if self.fault is Fault.NONE:
            return False
        return self.episodes is None or now % sum(self.episodes) >= self.episodes[0]

    def capacity(self, seconds: float) -> float:
        """Requests a second that it answers while its fault shows, where one takes so many seconds."""
        well = self.parallel / seconds
        match self.fault:
            case Fault.NONE:
                return well
            case Fault.SLOW:
                return well / self.factor
            case Fault.HELD_BACK:
                return min(self.rate, well)
            case _:
                return 0.0


class ModelDevice:
    """Takes requests on any number of links, from any number of workers, first come, first served."""

    def __init__(self, character: Character, timeline: Timeline, random: Random, *, variation: float) -> None:
        self.character = character
        self.served = 0  # requests that it worked on
        self._timeline = timeline
        self._times = ServiceTimes(random, variation)
        self._free_at = [0.0] * character.parallel  # when each of what it does at once is done, a heap
        self._next_token = 0.0
        self._links: dict[ModelLink, None] = {}
        self._dull = character.fault is Fault.NONE
        if character.fault is Fault.DOWN and character.episodes is not None:
            timeline.at(character.episodes[0], self._break)

    @property
    def listens(self) -> bool:
        return not (self.character.fault is Fault.DOWN and self.character.ails(self._timeline.now))

    @property
    def hangs(self) -> bool:
        return self.character.fault is Fault.HANGS and self.character.ails(self._timeline.now)

    def connected(self, link: ModelLink) -> None:
        self._links[link] = None

    def closed(self, link: ModelLink) -> None:
        self._links.pop(link, None)

    def asked(self, link: ModelLink, kind: Kind) -> None:
        """A request came; its answer comes back on the link, in order."""
        now = self._timeline.now
        character = self.character
        factor = 1.0
        start = now
        if not self._dull and character.ails(now):
            match character.fault:
                case Fault.SLOW:
                    factor = character.factor
                case Fault.HANGS:
                    return
                case Fault.ZOMBIE if kind is not PING:
                    self._answer(link, now + _ERROR_SECONDS, _ERROR)
                    return
                case Fault.HELD_BACK:
                    start = max(now, self._next_token)
                    self._next_token = start + 1.0 / character.rate
        self.served += 1
        free_at = self._free_at
        if free_at[0] > start:
            start = free_at[0]
        done = start + self._times.draw(kind.seconds * factor)
        heapreplace(free_at, done)
        self._answer(link, done, kind.answer)

    def _answer(self, link: ModelLink, when: float, answer: bytes) -> None:
        if when < link.busy_until:
            when = link.busy_until
        link.busy_until = when
        self._timeline.at(when + ROUND_TRIP, self._arrives, link, answer)

    def _arrives(self, link: ModelLink, answer: bytes) -> None:
        if link.open and not (not self._dull and self.hangs):
            link.answered(answer)

    def _break(self) -> None:
        """It goes down, and all that it was working on is lost."""
        assert self.character.episodes is not None, "planned for those only"
        self._timeline.after(sum(self.character.episodes), self._break)
        self._free_at = [self._timeline.now] * self.character.parallel
        heapify(self._free_at)
        links, self._links = list(self._links), {}
        for link in links:
            link.lose("connection reset by peer")
