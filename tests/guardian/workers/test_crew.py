"""The supervisor's side of its workers: real processes, whoever holds the rest."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from config.loader import Loaded, load
from config.model import Shutdown
from guardian.events import Event, Events, Kind
from guardian.sockets import OfferedSockets
from guardian.workers import crew as crew_module
from guardian.workers.addresses import Addresses
from guardian.workers.board import make_board
from guardian.workers.channel import Channel
from guardian.workers.crew import CannotServeError, Crew
from guardian.workers.reloads import Reloads

CONFIG = """\
listeners:
  - {{name: excrypt, bind: "127.0.0.1:0", group: payments, tls: {{mode: clear}}}}
groups:
  - name: payments
    tls: {{mode: clear}}
    devices: [{{name: hsm1, address: "127.0.0.1:1", role: primary}}]
workers: 2
{more}
"""


@attrs.define
class Seen:
    """Who comes and goes. What workers say is heard by nobody here."""

    steps: list[str] = attrs.field(factory=list)

    def introduce(self, number: int, channel: Channel) -> None:
        self.steps.append(f"introduced {number}")
        channel.hear("event", lambda **_: None)

        async def heard(**_: Any) -> None: ...

        channel.answer_with("last_words", heard)

    async def welcome(self, number: int, channel: Channel, pid: int) -> None:
        assert await channel.ask("snapshot", of=bytes)
        self.steps.append(f"welcomed {number}")

    def farewell(self, number: int) -> None:
        self.steps.append(f"gone {number}")


@attrs.define
class World:
    crew: Crew
    reloads: Reloads
    addresses: Addresses
    seen: Seen
    file: Path
    told: list[Event]

    def read(self, more: str = "", change: tuple[str, str] = ("", "")) -> Loaded:
        self.file.write_text(CONFIG.format(more=more).replace(*change))
        return load(self.file)

    async def until(self, condition: Any) -> None:
        with trio.fail_after(60):
            while not condition():
                await trio.sleep(0.02)

    def results(self) -> list[str]:
        return [f"{event.what} {event.result}" for event in self.told if event.kind is Kind.WORKER]


def world(folder: Path, count: int) -> World:
    file = folder / "guardian.yaml"
    file.write_text(CONFIG.format(more=""))
    loaded = load(file)
    assert loaded.config is not None, loaded.problems
    events, seen, told = Events(), Seen(), list[Event]()
    events.subscribe(told.append)
    addresses = Addresses(OfferedSockets())
    crew = Crew(file, count, make_board(count), seen, events)
    return World(crew, Reloads(crew, addresses, loaded), addresses, seen, file, told)


@asynccontextmanager
async def serving(folder: Path, count: int = 1) -> AsyncIterator[World]:
    made = world(folder, count)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(60):
            await nursery.start(made.crew.run)
        yield made
        await made.crew.drain(Shutdown(timeout=10.0))
    assert not any(member.lives for member in made.crew.members)
    made.addresses.close()


async def test_a_worker_that_hangs_is_ended_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "_SILENT_LOOKS", 3)
    async with serving(tmp_path) as it:
        before = it.crew.members[0].pid
        os.kill(before, signal.SIGSTOP)
        await it.until(lambda: len(it.results()) == 3)
        assert it.results() == ["worker 1 serving", "worker 1 lost", "worker 1 serving"]
        assert it.crew.members[0].pid != before
        assert "it was silent" in it.told[1].detail
        assert it.seen.steps[-3:] == ["gone 1", "introduced 1", "welcomed 1"]


async def test_orders_that_one_cannot_prepare_reach_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path, count=2) as it:
        loaded = it.read(change=("name: excrypt", "name: other"))
        first = it.crew.orders
        descriptors = len(os.listdir("/proc/self/fd"))
        theirs = [len(os.listdir(f"/proc/{member.pid}/fd")) for member in it.crew.members]
        with pytest.raises(OSError, match=r"worker 1, 2.*catalogue"):
            await it.reloads.prepare(attrs.evolve(loaded, digest="of another catalogue"))
        it.reloads.forget()
        assert it.crew.orders is first
        assert len(os.listdir("/proc/self/fd")) == descriptors
        await it.until(lambda: theirs == [len(os.listdir(f"/proc/{member.pid}/fd")) for member in it.crew.members])
        os.kill(it.crew.members[1].pid, signal.SIGSTOP)  # now only one can
        with trio.move_on_after(1.0):
            await it.reloads.prepare(loaded)
        os.kill(it.crew.members[1].pid, signal.SIGKILL)
        it.reloads.forget()
        await it.until(lambda: it.results().count("worker 2 serving") == 2)
        assert it.crew.orders is first
        await it.reloads.prepare(loaded)
        await it.reloads.adopt()
        assert [member.orders for member in it.crew.members] == [it.crew.orders] * 2
        assert it.crew.orders is not first
        assert loaded.config is not None
        assert list(it.addresses.shown(loaded.config)) == ["other"]
        assert not it.results().count("worker 1 lost")


async def test_who_cannot_adopt_is_ended_and_its_successor_has_the_new_orders(tmp_path: Path) -> None:
    async with serving(tmp_path) as it:
        loaded = it.read("shutdown: {timeout: 5s}\n")
        before = it.crew.members[0].pid
        await it.reloads.prepare(loaded)
        it.crew.members[0].forget()  # as if it had been lost there
        await it.reloads.adopt()
        await it.until(lambda: it.crew.members[0].serving and it.crew.members[0].pid != before)
        assert it.crew.members[0].orders is it.crew.orders
        assert it.crew.orders.text == loaded.text


async def test_a_crew_of_which_one_cannot_start_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(tmp_path, 1)
    made.crew.orders = attrs.evolve(made.crew.orders, text="listeners: [")
    refusal = pytest.RaisesExc(CannotServeError, match=r"worker 1 cannot serve: .*guardian.yaml:2: .*YAML")
    with trio.fail_after(60), pytest.RaisesGroup(refusal, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(made.crew.run)
    assert not made.crew.members[0].lives
    assert made.seen.steps == ["introduced 1", "gone 1"]
    made.addresses.close()
