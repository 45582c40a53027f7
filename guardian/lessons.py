"""Learning from live traffic: who watches, which groups, until when. One lesson at a time.

While somebody learns, each answer delivered to a client is looked at on the data path (`completions`), and the devices'
connections a few times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

import attrs
import structlog
import trio

from balancer.exchange import Exchange
from balancer.group import Group

from .completions import Completions, Observe
from .learned import Listed, report
from .learning import Learning, Life, Who
from .lesson import Course, LessonState

if TYPE_CHECKING:
    from .client import Client

_LOOK: Final = 0.05  # seconds between looks at the devices' connections
_IDLE: Final = 0.2  # seconds between looks for something to do


@attrs.define(eq=False)
class _Watched:
    group: Group
    learning: Learning
    started: float
    misfits_before: int

    def observe(self, client: object, exchange: Exchange) -> None:
        life = self._life(cast("Client", client))
        if life is not None:
            self.learning.feed(life, exchange)

    def _life(self, client: Client) -> Life | None:
        # Not the client itself: it would keep what the client keeps. The time tells it from one at the same address.
        key = (id(client), client.connected_at)
        known = self.learning.life(key)
        return known or self.learning.begin(key, _who(client), from_start=client.connected_at >= self.started)

    def look(self) -> None:
        """Note which connections to devices have several requests outstanding whose answers cannot be confused."""
        seen = self.learning.pipeline
        seen.looks += 1
        seen.misfits = max(0, _misfits(self.group) - self.misfits_before)
        for device in self.group.devices:
            seen.allowed = max(seen.allowed, device.pipeline)
            if device.pipeline < 2:
                continue
            for upstream in device.upstreams:
                told = {(attempt.exchange.code, attempt.exchange.context) for attempt in upstream.outstanding}
                if len(told) > 1:
                    seen.several += 1
                    seen.most = max(seen.most, len(told))


class Lessons:
    """Run `run` in a task; `start`, `stop` and `facts` may be called at any time on the loop."""

    def __init__(
        self,
        clock: Callable[[], float],
        groups: Callable[[], Mapping[str, Group]],
        completions: Completions | None = None,
    ) -> None:
        """``clock``: seconds, the same that clients are dated by."""
        self._clock = clock
        self._groups = groups
        self._completions = completions or Completions(groups)
        self._ends: list[Callable[[], None]] = []  # end the watching
        self._log = structlog.get_logger()
        self._course = Course(clock)
        self._watched: tuple[_Watched, ...] = ()

    def start(self, group: str | None, seconds: float) -> None:
        """Watch that group, or all of them, for so long. Raises `LessonRunning`, or LookupError for no such group."""
        groups = self._groups()
        self._course.begin(group, groups, seconds)
        now = self._clock()
        self._watched = tuple(
            _Watched(found, Learning(), now, _misfits(found))
            for name, found in groups.items()
            if group is None or name == group
        )
        self._ends = [self._completions.watch(self._guarded(watched), watched.group.name) for watched in self._watched]

    def stop(self) -> None:
        """End before the time; nothing happens where nobody is watching."""
        if self._course.watching:
            self._end(LessonState.DONE)

    async def run(self) -> None:
        """End lessons when their time is over, whoever asked for them. Until cancelled."""
        while True:
            watching = self._course.watching
            if watching:
                self._step()
            await trio.sleep(_LOOK if watching else _IDLE)

    @property
    def facts(self) -> Mapping[str, object]:
        """How far it is. The rest is for `reporter`."""
        return self._course.facts(sum(watched.learning.requests for watched in self._watched))

    def reporter(self, listed: Listed = list) -> Callable[[], Mapping[str, object]]:
        """What gives what was learned, by group. It may run in a thread once the lesson has ended."""
        learned = self.learned
        return lambda: {name: report(name, learning, listed) for name, learning in learned.items()}

    @property
    def learned(self) -> Mapping[str, Learning]:
        """So far, by group; it still grows while somebody watches."""
        return {watched.group.name: watched.learning for watched in self._watched}

    @property
    def ended(self) -> bool:
        return self._course.ended

    def _step(self) -> None:
        try:
            if self._course.left <= 0:
                self._end(LessonState.DONE)
                return
            for watched in self._watched:
                watched.look()
        except Exception as exc:  # noqa: BLE001 - the barrier: learning must not end the proxy
            self._failed(exc)

    def _guarded(self, watched: _Watched) -> Observe:
        def observe(_group: str, client: object, exchange: Exchange) -> None:
            try:
                watched.observe(client, exchange)
            except Exception as exc:  # noqa: BLE001 - the barrier: the client must get its answer
                self._failed(exc)

        return observe

    def _failed(self, exc: Exception) -> None:
        """The kind only: the text of a fault could hold what was being looked at."""
        if self._course.watching:
            self._end(LessonState.FAILED)
        self._log.error("learning failed by a fault of the proxy's own", fault=type(exc).__name__)

    def _end(self, state: LessonState) -> None:
        self._course.end(state, self._clock())
        for end in self._ends:
            end()
        for watched in self._watched:
            watched.learning.forget_connections()
        self._log.info("learning ended", state=state.value, requests=self.facts["requests"])


def _misfits(group: Group) -> int:
    return sum(device.outcomes.get("bad_answer", 0) for device in group.devices)


def _who(client: Client) -> Who:
    if client.peer is not None:
        return Who(client.peer.common_name, client.peer.fingerprint, None)
    try:
        address = str(client.link.socket.getpeername()[0])
    except (OSError, AttributeError, IndexError, TypeError):
        address = None
    return Who(None, None, address)
