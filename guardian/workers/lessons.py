"""Learning over all workers: each watches its own clients, and what they saw is put together at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog
import trio

from guardian.learned import Listed, report
from guardian.learning import Learning
from guardian.lessons import LessonRunning, LessonState

from .channel import Channel, ChannelError
from .learned import Learned, gathered
from .messages import unpacked_learned

_LOOK: Final = 0.2  # seconds
_PROGRESS: Final = 1.0  # seconds between looks at how far they are
_SPARE: Final = 60.0  # seconds after which a worker ends by itself a lesson that nobody has ended
_PATIENCE: Final = 30.0  # seconds for what was learned, which may be much


class WholeLessons:
    """As `guardian.lessons.Lessons`. ``workers``: the channels of those that serve, by number."""

    def __init__(
        self,
        workers: Callable[[], Mapping[int, Channel]],
        groups: Callable[[], Sequence[str]],
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """``groups``: the names of those that there are. ``clock``: seconds."""
        self._workers = workers
        self._groups = groups
        self._clock = clock
        self._state = LessonState.NONE
        self._number = 0
        self._group: str | None = None
        self._seconds = 0.0
        self._started = self._until = self._ended = 0.0
        self._requests: dict[int, int] = {}  # so far, by worker
        self._learned: Mapping[str, Learning] = {}
        self._log = structlog.get_logger()

    def start(self, group: str | None, seconds: float) -> None:
        if self._state is LessonState.WATCHING:
            raise LessonRunning(f"somebody is learning already, for {self._left:.0f} s more")
        if group is not None and group not in self._groups():
            raise LookupError(f"there is no group {group}")
        self._number += 1
        self._group, self._seconds = group, seconds
        self._started = self._ended = self._clock()
        self._until = self._started + seconds
        self._state, self._requests, self._learned = LessonState.WATCHING, {}, {}
        for channel in self._workers().values():
            self.welcome(channel)

    def welcome(self, channel: Channel) -> None:
        """A worker that has just started."""
        if self._state is LessonState.WATCHING:
            channel.tell("learn", group=self._group, seconds=self._left + _SPARE)

    def stop(self) -> None:
        if self._state is LessonState.WATCHING:
            self._until = self._clock()

    async def run(self) -> None:
        """End lessons when their time is over. Until cancelled."""
        while True:
            await trio.sleep(_LOOK)
            if self._state is not LessonState.WATCHING:
                continue
            if self._left <= 0:
                await self._gather()
            else:
                with trio.move_on_after(min(_PROGRESS, self._left)):
                    await self._of_all(self._count)
                    await trio.sleep(_PROGRESS - _LOOK)

    @property
    def facts(self) -> Mapping[str, object]:
        """As one process says them; the requests are those of a second ago."""
        until = min(self._clock(), self._until) if self._state is LessonState.WATCHING else self._ended
        return {
            "state": self._state.value,
            "number": self._number,
            "for": self._seconds,
            "watched": round(until - self._started, 3),
            "left": round(self._left, 3),
            "requests": sum(each.requests for each in self._learned.values()) or sum(self._requests.values()),
        }

    def reporter(self, listed: Listed = list) -> Callable[[], Mapping[str, object]]:
        learned = self._learned
        return lambda: {name: report(name, learning, listed) for name, learning in learned.items()}

    @property
    def ended(self) -> bool:
        return self._state in (LessonState.DONE, LessonState.FAILED)

    @property
    def _left(self) -> float:
        if self._state is not LessonState.WATCHING:
            return 0.0
        return max(0.0, self._until - self._clock())

    async def _of_all(self, ask: Callable[[int, Channel], object]) -> None:
        async with trio.open_nursery() as nursery:
            for number, channel in self._workers().items():
                nursery.start_soon(ask, number, channel)  # type: ignore[arg-type]

    async def _count(self, number: int, channel: Channel) -> None:
        with suppress(ChannelError):  # it ends; what it has seen is lost
            self._requests[number] = await channel.ask("lesson", of=int)

    async def _gather(self) -> None:
        self._ended = self._clock()
        found: list[Learned] = []
        state = LessonState.DONE

        async def ask(number: int, channel: Channel) -> None:
            nonlocal state
            try:
                data = await channel.ask("learned", of=bytes, timeout=_PATIENCE)
                found.extend(await trio.to_thread.run_sync(unpacked_learned, data))
            except (ChannelError, msgspec.DecodeError) as exc:
                state = LessonState.FAILED
                self._log.error("what a worker has learned is lost", worker=number, reason=str(exc))

        await self._of_all(ask)
        self._learned = await trio.to_thread.run_sync(gathered, found)
        self._state = state
        self._log.info("learning ended", state=state.value, requests=self.facts["requests"])
