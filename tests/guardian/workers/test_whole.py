"""How often workers are asked, and what is shown of those that do not answer."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from balancer.snapshot import Will
from config.model import Bind, Config
from guardian.admin.keys import read_keys
from guardian.audit.settings import audit_ready
from guardian.events import Actor
from guardian.ready import Ready
from guardian.workers.channel import Channel
from guardian.workers.messages import Shown, packed
from guardian.workers.supervisor import tell_status
from guardian.workers.whole import Whole
from health.state import Health
from tests.support import operable
from tests.support.core import CATALOGUE, device_settings, group_settings

ME = Actor(name="night shift", source="192.0.2.7")


@attrs.define(eq=False)
class Worker:
    """One that shows what it is told to, and notes what it hears."""

    channel: Channel
    shown: Shown
    answers: bool = True
    asked: int = 0
    wills: list[tuple[str, str]] = attrs.field(factory=list)

    async def answer(self) -> bytes:
        self.asked += 1
        if not self.answers:
            await trio.sleep_forever()
        return packed(self.shown)

    def hear(self, group: str, device: str, will: str, by: Mapping[str, str]) -> None:
        self.wills.append((f"{group}/{device}", will))

    def count(self, echoes: int) -> None:
        command = attrs.evolve(operable.group().commands[0], command="ECHO", outcomes={"ok": echoes})
        self.shown = attrs.evolve(self.shown, snapshot=operable.proxy(operable.group(commands=(command,))))


def ready(*names: str, moved: str = "") -> Ready:
    """``moved``: the device that is at another address."""
    settings = [device_settings(name) for name in names]
    settings = [
        attrs.evolve(each, address=Bind(host="127.0.0.1", port=9)) if each.name == moved else each for each in settings
    ]
    config = Config(listeners=(), groups=(group_settings(*settings),))
    return Ready(
        config=config, catalogue=CATALOGUE, contacts={}, sides={}, audit=audit_ready(config.audit), certificates={},
        keys=read_keys(config.admin),
    )  # fmt: skip


@asynccontextmanager
async def whole_of(count: int = 1) -> AsyncIterator[tuple[Whole, list[Worker]]]:
    whole, workers = Whole(count), []
    whole.adopt(ready("hsm1", "hsm2"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(whole.run)
        for number in range(1, count + 1):
            ours, theirs = (Channel(end) for end in socket.socketpair())
            worker = Worker(theirs, Shown(snapshot=operable.proxy(), cpu=0.0, memory=0))
            theirs.answer_with("snapshot", worker.answer)
            theirs.hear("will", worker.hear)
            for name in ("refuse_writes", "tail", "learn"):
                theirs.hear(name, lambda **_: None)
            whole.introduce(number, ours)
            nursery.start_soon(ours.run)
            nursery.start_soon(theirs.run)
            await whole.welcome(number, ours, 4000 + number)
            workers.append(worker)
        yield whole, workers
        nursery.cancel_scope.cancel()


def echoes(whole: Whole) -> int:
    return sum(each.outcomes["ok"] for each in whole.snapshot().groups[0].commands if each.command == "ECHO")


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    autojump_clock.autojump_threshold = 0.01  # what is on its way between two ends must have the time to arrive
    return autojump_clock


@pytest.mark.parametrize(
    ("after", "sees"), [(1.0, Health.UP), (1.0, Health.DOWN), (1.0, Health.UNSAFE), (60.0, Health.UP)]
)
async def test_who_starts_beside_others_lets_nobody_in_before_it_serves_as_well(
    after: float, sees: Health, clock: trio.testing.MockClock
) -> None:
    """Or has found a device unfit itself, or has tried for long enough."""
    async with whole_of(2) as (whole, _), trio.open_nursery() as nursery:
        await whole.refresh()
        whole.farewell(2)
        ours, theirs = (Channel(end) for end in socket.socketpair())
        blind = operable.group(devices=tuple(
            attrs.evolve(device, in_service=False, health=Health.UNKNOWN) for device in operable.group().devices
        ))  # fmt: skip
        worker = Worker(theirs, Shown(snapshot=operable.proxy(blind), cpu=0.0, memory=0))
        theirs.answer_with("snapshot", worker.answer)
        for name in ("refuse_writes", "tail", "learn", "will"):
            theirs.hear(name, lambda **_: None)
        whole.introduce(2, ours)
        nursery.start_soon(ours.run)
        nursery.start_soon(theirs.run)

        async def see() -> None:
            await trio.sleep(after)
            seeing = operable.group(devices=tuple(
                attrs.evolve(device, in_service=device.in_service and sees is Health.UP, health=sees)
                for device in operable.group().devices
            ))  # fmt: skip
            worker.shown = attrs.evolve(worker.shown, snapshot=operable.proxy(seeing))

        nursery.start_soon(see)
        began = trio.current_time()
        await whole.welcome(2, ours, 4002)
        took = trio.current_time() - began
        assert min(after, 5.0) <= took <= min(after, 5.0) + 0.5
        nursery.cancel_scope.cancel()


async def test_while_nobody_looks_workers_are_asked_once_a_second(clock: trio.testing.MockClock) -> None:
    async with whole_of() as (_, [worker]):
        worker.asked = 0
        await trio.sleep(10)
        assert 7 <= worker.asked <= 10


async def test_what_the_service_manager_is_told_is_no_look(clock: trio.testing.MockClock) -> None:
    async with whole_of() as (whole, [worker]), trio.open_nursery() as nursery:
        told: list[str] = []

        class Manager:
            def status(self, text: str) -> None:
                told.append(text)

        nursery.start_soon(tell_status, whole, Manager())
        await trio.sleep(2)
        worker.asked = 0
        await trio.sleep(10)
        assert 7 <= worker.asked <= 10
        assert len(told) >= 10
        assert "1 of 1 workers" in told[-1]
        nursery.cancel_scope.cancel()


async def test_and_less_often_where_that_holds_them_up(clock: trio.testing.MockClock) -> None:
    async with whole_of() as (_, [worker]):
        worker.shown = attrs.evolve(worker.shown, held_up=0.03)
        await trio.sleep(3)
        worker.asked = 0
        await trio.sleep(7)
        assert 1 <= worker.asked <= 3


async def test_while_somebody_looks_they_are_asked_five_times_a_second_however_many_look(
    clock: trio.testing.MockClock,
) -> None:
    async with whole_of() as (whole, [worker]):
        worker.asked = 0

        async def look() -> None:
            for _ in range(30):
                await whole.refresh()
                whole.snapshot()
                await trio.sleep(0.07)

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(look)
        assert 3 * (trio.current_time() - began) <= worker.asked <= 5 * (trio.current_time() - began) + 1


async def test_who_asks_sees_what_was_so_a_fifth_of_a_second_ago(clock: trio.testing.MockClock) -> None:
    async with whole_of(2) as (whole, workers):
        for number, worker in enumerate(workers, 3):
            worker.count(number)
        await trio.sleep(0.2)
        await whole.refresh()
        assert echoes(whole) == 7


async def test_who_does_not_answer_is_shown_as_it_was_and_holds_up_nobody_for_long(
    clock: trio.testing.MockClock,
) -> None:
    async with whole_of(2) as (whole, [first, second]):
        first.count(3)
        second.count(4)
        await trio.sleep(0.2)
        await whole.refresh()
        second.answers = False
        first.count(5)
        await trio.sleep(0.2)
        began = trio.current_time()
        await whole.refresh()
        assert trio.current_time() - began < 5
        assert echoes(whole) == 9


async def test_a_will_is_seen_at_once_by_who_has_said_it(clock: trio.testing.MockClock) -> None:
    async with whole_of() as (whole, [worker]):
        await whole.refresh()
        asked = worker.asked
        whole.set_will("payments", "hsm2", Will.DRAIN, ME)
        await whole.refresh()
        assert worker.asked == asked + 1, "it was not asked again"
        assert worker.wills == [("payments/hsm2", "drain")]


async def test_a_will_for_a_device_that_a_reload_takes_out_or_moves_is_forgotten(clock: trio.testing.MockClock) -> None:
    async with whole_of() as (whole, _):
        for device in ("hsm1", "hsm2"):
            whole.set_will("payments", device, Will.MAINT, ME)
        whole.adopt(ready("hsm1", "hsm3"))
        assert list(whole._wills) == [("payments", "hsm1")]
        whole.adopt(ready("hsm1", moved="hsm1"))
        assert not whole._wills
        with pytest.raises(LookupError, match="has no device hsm2"):
            whole.set_will("payments", "hsm2", Will.READY, ME)


async def test_before_any_worker_serves_nothing_is_usable(clock: trio.testing.MockClock) -> None:
    whole = Whole(2)
    shown = whole.snapshot()
    assert (shown.groups, [worker.up for worker in shown.workers]) == ((), [False, False])
    assert [worker.restarts for worker in shown.workers] == [0, 0]


async def test_what_comes_after_a_worker_was_taken_leave_of_is_not_counted_twice(clock: trio.testing.MockClock) -> None:
    async with whole_of(2) as (whole, [first, _]):
        first.count(3)
        await trio.sleep(0.2)
        await whole.refresh()
        before = echoes(whole)
        whole.farewell(1)
        await first.channel.ask("last_words", shown=packed(first.shown))
        await trio.sleep(0.3)
        await whole.refresh()
        assert echoes(whole) == before
