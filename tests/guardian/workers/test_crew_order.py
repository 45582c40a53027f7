"""In which order a crew does things, with members that do what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import trio

from config.model import Shutdown
from guardian.events import Events
from guardian.journal_file import Owners
from guardian.workers import crew as crew_module
from guardian.workers.board import make_board
from guardian.workers.channel import Channel, channel_pair
from guardian.workers.crew import Crew
from guardian.workers.member import Member
from guardian.workers.orders import Orders


def orders(number: int) -> Orders:
    nothing = Owners()
    return Orders(
        number=number, text="", digest="", sockets=[], owners=nothing, fresh_sockets=[], fresh_owners=nothing
    )  # fmt: skip


class FakeMember:
    """Does each step when its gate is open, and notes it in `steps`."""

    def __init__(self, number: int, count: int, file: Path, board: int) -> None:
        self.number = number
        self.name = f"worker {number}"
        self.serving = False
        self.orders: Orders | None = None
        self.silent = 0
        self.pid = 4000 + number
        self.lives = False
        self.steps: list[str] = []
        self.obeys = True  # ends when it is told to drain
        self.closed = trio.Event()  # a gate that somebody has closed: nothing is prepared until it is set
        self.closed.set()
        self.waits = False
        self.cannot = ""  # prepare, for this reason
        self.channel: Channel
        self.far: Channel

    async def start(self) -> None:
        self.channel, line = channel_pair()
        self.far = Channel(line)
        self.far.hear("drain", self._drain)
        self.far.hear("hurry", lambda: self.steps.append("hurry"))
        self.far.hear("verdict", lambda device, **_: self.steps.append(f"verdict on {device}"))
        self.lives = True
        self.steps.append("start")
        trio.lowlevel.spawn_system_task(self.far.run)

    def _drain(self) -> None:
        self.steps.append("drain")
        if self.obeys:
            self.far.close()

    async def prepare(self, orders: Orders, *, anew: bool) -> None:
        self.waits = True
        async with trio.open_nursery() as nursery:  # as a question, which the end of the process answers

            async def notice() -> None:
                await self.far.ended.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(notice)
            await self.closed.wait()
            nursery.cancel_scope.cancel()
        self.waits = False
        if self.cannot:
            raise crew_module.ChannelError(self.cannot)
        if self.far.ended.is_set():
            raise crew_module.PeerGone("it has ended")
        self.steps.append(f"prepare {orders.number}")

    async def adopt(self, orders: Orders) -> None:
        self.orders = orders
        self.steps.append(f"adopt {orders.number}")

    async def let_in(self) -> None:
        self.serving = True
        self.steps.append("let in")

    def forget(self) -> None:
        self.steps.append("forget")

    def kill(self) -> None:
        if self.lives:
            self.steps.append("kill")
            self.far.close()

    async def wait(self) -> str:
        self.serving = False
        self.channel.close()
        self.far.close()
        self.lives = False
        return "it ended"


@attrs.define
class Seeing:
    async def welcome(self, number: int, channel: Channel, pid: int) -> None: ...

    def introduce(self, number: int, channel: Channel) -> None: ...

    def farewell(self, number: int) -> None: ...


@attrs.define
class World:
    crew: Crew
    nursery: trio.Nursery

    @property
    def members(self) -> list[FakeMember]:
        return cast(list[FakeMember], self.crew.members)

    async def until(self, condition: Callable[[], Any]) -> None:
        with trio.fail_after(30):
            while not condition():
                await trio.sleep(0.01)

    async def serve(self) -> None:
        with trio.fail_after(30):
            await self.nursery.start(self.crew.run)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setattr(crew_module, "Member", FakeMember)
    monkeypatch.setattr(crew_module, "_LAST_WORDS", 0.2)

    @asynccontextmanager
    async def started() -> AsyncIterator[World]:
        async with trio.open_nursery() as nursery:
            crew = Crew(tmp_path / "guardian.yaml", 2, make_board(2), Seeing(), Events())
            crew.orders = orders(1)
            yield World(crew, nursery)
            nursery.cancel_scope.cancel()

    return started


async def test_who_has_prepared_old_orders_while_others_got_new_ones_lets_nobody_in(start: Any) -> None:
    async with start() as it:
        one, two = it.members
        await it.serve()
        two.closed = trio.Event()
        two.steps.clear()
        two.kill()
        await it.until(lambda: two.waits)  # its successor
        await it.crew.prepare(orders(2))
        await it.crew.adopt(orders(2))
        two.closed.set()
        await it.until(lambda: two.serving)
        assert two.steps == [
            "kill", "start", "prepare 1", "adopt 1", "kill", "start", "prepare 2", "adopt 2", "let in"
        ]  # fmt: skip
        assert one.steps[-2:] == ["prepare 2", "adopt 2"]


async def test_a_drain_does_not_wait_for_who_is_only_starting(start: Any) -> None:
    async with start() as it:
        one, two = it.members
        await it.serve()
        two.closed = trio.Event()
        two.kill()
        await it.until(lambda: two.waits)
        with trio.fail_after(5):
            await it.crew.drain(Shutdown(timeout=600.0))
        assert one.steps[-1] == "drain"
        assert two.steps[-1] == "kill"
        assert not one.lives
        assert not two.lives


async def test_nobody_is_let_in_once_all_are_to_end(start: Any) -> None:
    async with start() as it:
        _, two = it.members
        await it.serve()
        two.closed = trio.Event()
        two.kill()
        await it.until(lambda: two.waits)
        it.crew.ending = True
        two.steps.clear()
        two.closed.set()
        await it.until(lambda: not two.lives)
        assert two.steps == ["prepare 1", "adopt 1", "kill"]


async def test_who_does_not_end_in_its_time_is_killed(start: Any) -> None:
    async with start() as it:
        await it.serve()
        it.members[1].obeys = False
        began = trio.current_time()
        with trio.fail_after(10):  # before it would be silent for too long
            await it.crew.drain(Shutdown(drain_notice=0.1, timeout=0.2))
        assert trio.current_time() - began >= 0.5
        assert it.members[0].steps[-1] == "drain"
        assert it.members[1].steps[-2:] == ["drain", "kill"]


async def test_a_crew_that_is_given_up_leaves_nobody_behind(start: Any) -> None:
    async with start() as it:
        await it.serve()
        members = it.members
    assert [member.steps[-1] for member in members] == ["kill", "kill"]


async def test_what_one_cannot_prepare_is_forgotten_by_those_that_can(start: Any) -> None:
    async with start() as it:
        one, two = it.members
        await it.serve()
        two.cannot = "its certificate is not there"
        with pytest.raises(OSError, match=r"worker 2.*certificate is not there"):
            await it.crew.prepare(orders(2))
        it.crew.forget()
        assert one.steps[-2:] == ["prepare 2", "forget"]
        assert it.crew.orders.number == 1


async def test_what_one_finds_out_is_told_to_the_others_also_to_one_that_came_later(start: Any) -> None:
    async with start() as it:
        one, two = it.members
        await it.serve()
        two.kill()
        await it.until(lambda: two.steps.count("let in") == 2)
        one.far.tell("verdict", group="payments", device="hsm1", doubtful=True, unlike=False, dangers={})
        await it.until(lambda: two.steps[-1] == "verdict on hsm1")
        two.far.tell("verdict", group="payments", device="hsm2", doubtful=True, unlike=False, dangers={})
        await it.until(lambda: one.steps[-1] == "verdict on hsm2")
        assert "verdict on hsm2" not in two.steps


async def test_who_is_in_a_hurry_tells_all(start: Any) -> None:
    async with start() as it:
        await it.serve()
        for member in it.members:
            member.obeys = False
        it.nursery.start_soon(it.crew.drain, Shutdown(timeout=600.0))
        await it.until(lambda: all(member.steps[-1] == "drain" for member in it.members))
        it.crew.hurry()
        await it.until(lambda: all(member.steps[-1] == "hurry" for member in it.members))


async def test_who_dies_again_and_again_is_started_ever_later(start: Any) -> None:
    async with start() as it:
        _, two = it.members
        await it.serve()
        times = []
        for _ in range(4):
            began = trio.current_time()
            starts = two.steps.count("start")
            two.kill()
            await it.until(lambda before=starts: two.steps.count("start") > before and two.serving)
            times.append(trio.current_time() - began)
        assert times[-1] > 3 * times[0] or times[-1] > 0.4, times


async def test_a_member_hears_of_new_orders_before_it_has_let_anybody_in(tmp_path: Path) -> None:
    """Else those that come at this moment would pass it by, and it would run on the old ones for ever."""
    member = Member(1, 2, tmp_path, -1)
    member.channel, line = channel_pair()
    far, asked, go = Channel(line), trio.Event(), trio.Event()

    async def let_in() -> None:
        asked.set()
        await go.wait()

    far.answer_with("let_in", let_in)
    async with trio.open_nursery() as nursery:
        for run in (member.channel.run, far.run, member.let_in):
            nursery.start_soon(run)
        with trio.fail_after(30):
            await asked.wait()
        assert member.serving
        go.set()
        nursery.cancel_scope.cancel()
