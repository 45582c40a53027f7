"""A lesson over several workers: who starts meanwhile learns too, and what is missing is said."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from guardian.lesson import LessonRunning
from guardian.workers.channel import Channel
from guardian.workers.learned import learned
from guardian.workers.lessons import WholeLessons
from guardian.workers.messages import packed_learned
from tests.support.traffic import VAULT, Watched, ok


@attrs.define(eq=False)
class Worker:
    channel: Channel  # the supervisor's end
    theirs: Channel
    watched: Watched = attrs.field(factory=Watched)
    told: list[tuple[str | None, float]] = attrs.field(factory=list)

    def learn(self, group: str | None, seconds: float) -> None:
        self.told.append((group, seconds))

    async def lesson(self) -> int:
        return self.watched.learning.requests

    async def learned(self) -> bytes:
        return packed_learned([learned("payments", self.watched.learning)])


@asynccontextmanager
async def taught(count: int) -> AsyncIterator[tuple[WholeLessons, dict[int, Worker]]]:
    workers: dict[int, Worker] = {}
    serving: dict[int, Channel] = {}
    lessons = WholeLessons(lambda: serving, lambda: ["payments"])
    async with trio.open_nursery() as nursery:
        for number in range(1, count + 1):
            ours, theirs = (Channel(end) for end in socket.socketpair())
            worker = workers[number] = Worker(ours, theirs)
            theirs.hear("learn", worker.learn)
            theirs.answer_with("lesson", worker.lesson)
            theirs.answer_with("learned", worker.learned)
            serving[number] = ours
            nursery.start_soon(ours.run)
            nursery.start_soon(theirs.run)
        nursery.start_soon(lessons.run)
        yield lessons, workers
        nursery.cancel_scope.cancel()


async def ended(lessons: WholeLessons) -> None:
    with trio.fail_after(20):
        while not lessons.ended:
            await trio.sleep(0.01)


async def test_it_ends_by_itself_and_has_what_all_have_seen(autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = 0.02
    async with taught(2) as (lessons, workers):
        assert lessons.facts["state"] == "none"
        lessons.start("payments", 10)
        with pytest.raises(LessonRunning, match="for 10 s more"):
            lessons.start(None, 5)
        for worker in workers.values():
            worker.watched.connection(VAULT, ok("ECHO"), ok("ECHO"))
        await trio.sleep(2)
        assert (lessons.facts["state"], lessons.facts["requests"]) == ("watching", 4)
        await trio.sleep(9)
        assert (lessons.facts["state"], lessons.facts["watched"]) == ("done", pytest.approx(10, abs=0.5))
        [group] = lessons.reporter()().values()
        assert group["requests"] == 4  # type: ignore[index]
        assert [told[0] for told in workers[1].told] == ["payments"]
        assert workers[1].told[0][1] > 10, "who has no supervisor any more ends by itself, and not before it was asked"


async def test_a_worker_that_starts_during_a_lesson_learns_too_and_after_it_none_does() -> None:
    async with taught(1) as (lessons, workers):
        lessons.welcome(workers[1].channel)
        lessons.start(None, 60)
        lessons.welcome(workers[1].channel)
        lessons.stop()
        await ended(lessons)
        lessons.welcome(workers[1].channel)
        await trio.testing.wait_all_tasks_blocked()
        assert [group for group, _ in workers[1].told] == [None, None]
        assert lessons.facts["for"] == 60


async def test_where_one_does_not_say_what_it_has_seen_the_lesson_has_failed_and_has_the_rest() -> None:
    async with taught(2) as (lessons, workers):
        lessons.start(None, 60)
        for worker in workers.values():
            worker.watched.connection(VAULT, ok("ECHO"))
        workers[2].theirs.close()
        lessons.stop()
        await ended(lessons)
        assert (lessons.facts["state"], lessons.facts["requests"]) == ("failed", 1)
