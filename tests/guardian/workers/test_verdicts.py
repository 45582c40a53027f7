"""What one worker finds out about a device makes the others look; what makes it unsafe there makes it so everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import attrs
import trio

from balancer.device import Device
from balancer.group import Group
from balancer.snapshot import Likeness
from config.model import Identity, LikenessAction
from guardian.proxy import Proxy
from guardian.workers.channel import Channel, channel_pair
from guardian.workers.verdicts import Verdicts, relay
from health.state import Danger, Health
from tests.support.core import FakeGroup, FakeKeeper

ENFORCED = Identity(action=LikenessAction.ENFORCE)


class Worker:
    """What `Verdicts` asks of a proxy, around one group."""

    def __init__(self, channel: Channel, **settings: Any) -> None:
        self.fake = FakeGroup(**settings).ready()
        self.reactor = self
        self.channel = channel
        self.verdicts = Verdicts(cast(Proxy, self), channel)
        self.verdicts.look()

    def clock(self) -> float:
        return self.fake.now

    def flush(self) -> None: ...

    @property
    def devices(self) -> list[Group]:
        return [self.fake.group]

    def __getitem__(self, name: str) -> Device:
        return self.fake[name]

    def keeper(self, name: str) -> FakeKeeper:
        return self.fake.keepers[self[name]]

    @property
    def looks(self) -> list[int]:
        return [keeper.looks for keeper in self.fake.keepers.values()]


@attrs.define
class Crew:
    workers: list[Worker]

    async def until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(20):
            while not condition():
                await trio.sleep(0.005)

    async def quiet(self) -> None:
        """Everything that was told has arrived: each channel answers after it."""
        for worker in self.workers:
            worker.verdicts.look()
        for _ in range(2):
            for worker in self.workers:
                await worker.channel.ask("done")


@asynccontextmanager
async def crew(**settings: Any) -> AsyncIterator[Crew]:
    ours: dict[int, Channel] = {}
    made: list[Worker] = []

    async def done() -> None:
        for channel in ours.values():
            await channel.ask("done")

    async def done_too() -> None: ...

    for number in (1, 2, 3):
        ours[number], theirs = channel_pair()
        made.append(Worker(Channel(theirs), **settings))
        made[-1].channel.answer_with("done", done_too)
    for number, channel in ours.items():
        relay(ours, number)
        channel.answer_with("done", done)
    async with trio.open_nursery() as nursery:
        for channel in (*ours.values(), *(worker.channel for worker in made)):
            nursery.start_soon(channel.run)
        yield Crew(made)
        nursery.cancel_scope.cancel()


async def test_who_finds_a_device_down_makes_the_others_look_but_they_decide_themselves() -> None:
    async with crew() as them:
        first, *others = them.workers
        first.fake.down("a")
        await them.quiet()
        assert first.looks == [0, 0]
        for other in others:
            assert other.looks == [1, 0]
            assert other["a"].health is Health.UP
            assert not other["a"].tracker.suspect
            for _ in range(other.fake.settings.ping.fall - 1):
                assert other["a"].health is Health.UP, "a word is never enough"
                other["a"].tracker.ping_failed("no answer", other.fake.now)
            assert other["a"].health is Health.DOWN, "and counts as one ping that failed"


async def test_who_sees_it_back_makes_them_look_too() -> None:
    async with crew() as them:
        for worker in them.workers:
            worker.fake.down("a")
        await them.quiet()
        before = [worker.looks for worker in them.workers]
        them.workers[1].fake.up("a")
        await them.quiet()
        after = [worker.looks for worker in them.workers]
        assert after[0][0] > before[0][0]
        assert after[2][0] > before[2][0]
        assert after[1] == before[1]


async def test_a_doubt_that_comes_from_looking_is_not_told_again() -> None:
    async with crew() as them:
        them.workers[0]["a"].tracker.doubt()
        await them.quiet()
        for worker in them.workers[1:]:
            assert worker.looks == [1, 0]
            worker["a"].tracker.ping_failed("no answer", worker.fake.now)
        await them.quiet()
        assert [worker.looks for worker in them.workers] == [[0, 0], [1, 0], [1, 0]]
        for worker in them.workers:
            worker["a"].tracker.ping_answered(0.1, worker.fake.now)
            worker.fake.now += 5
        await them.quiet()
        them.workers[1]["a"].tracker.doubt()
        await them.quiet()
        assert [worker.looks[0] for worker in them.workers] == [1, 1, 2], "much later it is news"


async def test_a_stranger_for_one_is_a_stranger_for_all_and_it_is_told_once() -> None:
    async with crew() as them:
        first, *others = them.workers
        first["b"].tracker.distrust("its certificate is another's", first.fake.now)
        await them.quiet()
        for other in others:
            assert other.keeper("b").distrusted == ["its certificate is another's"]
            assert other.looks == [0, 1]
            other["b"].tracker.distrust("its certificate is another's", other.fake.now)  # as the real keeper does
        await them.quiet()
        assert first.keeper("b").distrusted == []
        assert [len(other.keeper("b").distrusted) for other in others] == [1, 1]


async def test_what_is_unlike_for_one_serves_nowhere_until_each_has_seen_it_alike() -> None:
    async with crew(identity=ENFORCED) as them:
        for worker in them.workers:
            for name in "ab":
                worker[name].likeness.held = False
                worker[name].likeness.state = Likeness.ALIKE
                worker.fake.group.changed(worker[name])
        first, *others = them.workers
        first["b"].tracker.unlike("unlike its group: key table", first.fake.now)
        await them.quiet()
        for other in others:
            assert other["b"].health is Health.UNSAFE
            assert not other["b"].serving
            assert other["b"].likeness.due <= other.fake.now, "it is compared at once"
        others[0]["b"].tracker.shown_alike(others[0].fake.now)
        await them.quiet()
        assert others[1]["b"].tracker.dangers == {Danger.UNLIKE: "unlike its group: key table"}
        assert others[0]["b"].tracker.dangers == {}


async def test_where_likeness_is_only_observed_they_compare_and_it_goes_on_serving() -> None:
    async with crew() as them:
        first, *others = them.workers
        for worker in them.workers:
            worker["b"].likeness.due = float("inf")
        first["b"].likeness.state = Likeness.UNLIKE
        await them.quiet()
        for other in others:
            assert other["b"].serving
            assert other["b"].likeness.due <= other.fake.now


async def test_where_a_worker_already_only_observes_nobodys_word_takes_a_device_out() -> None:
    """The others are about to reload too."""
    async with crew() as them:
        first, *others = them.workers
        unlike = {"unlike": "unlike its group: key table"}
        first.channel.tell("verdict", group="payments", device="b", doubtful=False, unlike=True, dangers=unlike)
        await them.quiet()
        for other in others:
            assert other["b"].serving
            assert other["b"].likeness.due <= other.fake.now, "it is compared at once"


async def test_who_is_behind_is_not_told_here() -> None:
    """The journal says it, and when it is over."""
    async with crew() as them:
        first, *others = them.workers
        first["b"].tracker.behind("key table behind", first.fake.now)
        await them.quiet()
        for other in others:
            assert other["b"].health is Health.UP


async def test_a_word_about_what_a_worker_does_not_have_is_nothing() -> None:
    async with crew() as them:
        first, *others = them.workers
        first.channel.tell(
            "verdict", group="payments", device="gone", doubtful=True, unlike=True, dangers={"stranger": "x"}
        )
        first.channel.tell("verdict", group="gone", device="a", doubtful=True, unlike=True, dangers={"stranger": "x"})
        others[0]["a"].leaving = True
        first.channel.tell(
            "verdict", group="payments", device="a", doubtful=True, unlike=False, dangers={"stranger": "x"}
        )
        await them.quiet()
        assert others[0].keeper("a").distrusted == []
        assert others[1].keeper("a").distrusted == ["x"]
