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
from guardian.lesson import Course, LessonState

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
        self._course = Course(clock)
        self._group: str | None = None
        self._requests: dict[int, int] = {}  # so far, by worker
        self._learned: Mapping[str, Learning] = {}
        self._log = structlog.get_logger()

    def start(self, group: str | None, seconds: float) -> None:
        self._course.begin(group, self._groups(), seconds)
        self._group, self._requests, self._learned = group, {}, {}
        for channel in self._workers().values():
            self.welcome(channel)

    def welcome(self, channel: Channel) -> None:
        """A worker that has just started."""
        if self._course.watching:
            channel.tell("learn", group=self._group, seconds=self._course.left + _SPARE)

    def stop(self) -> None:
        if self._course.watching:
            self._course.cut_short()

    async def run(self) -> None:
        """End lessons when their time is over. Until cancelled."""
        while True:
            await trio.sleep(_LOOK)
            if not self._course.watching:
                continue
            if self._course.left <= 0:
                await self._gather()
            else:
                with trio.move_on_after(min(_PROGRESS, self._course.left)):
                    await self._of_all(self._count)
                    await trio.sleep(_PROGRESS - _LOOK)

    @property
    def facts(self) -> Mapping[str, object]:
        """As one process says them; the requests are those of a second ago."""
        return self._course.facts(sum(each.requests for each in self._learned.values()) or sum(self._requests.values()))

    def reporter(self, listed: Listed = list) -> Callable[[], Mapping[str, object]]:
        learned = self._learned
        return lambda: {name: report(name, learning, listed) for name, learning in learned.items()}

    @property
    def ended(self) -> bool:
        return self._course.ended

    async def _of_all(self, ask: Callable[[int, Channel], object]) -> None:
        async with trio.open_nursery() as nursery:
            for number, channel in self._workers().items():
                nursery.start_soon(ask, number, channel)  # type: ignore[arg-type]

    async def _count(self, number: int, channel: Channel) -> None:
        with suppress(ChannelError):  # it ends; what it has seen is lost
            self._requests[number] = await channel.ask("lesson", of=int)

    async def _gather(self) -> None:
        ended = self._clock()
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
        self._course.end(state, ended)
        self._log.info("learning ended", state=state.value, requests=self.facts["requests"])
