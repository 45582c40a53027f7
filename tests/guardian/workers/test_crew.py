"""The supervisor's side of its workers: real processes, whoever holds the rest."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
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

        async def heard(**_: Any) -> None:
            self.steps.append(f"last words of {number}")

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

    def read(self, more: str = "", change: tuple[str, str] = ("", ""), workers: str = "workers: 2") -> Loaded:
        self.file.write_text(CONFIG.format(more=more).replace(*change).replace("workers: 2", workers))
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
    last = [step for step in made.seen.steps if step.startswith("last words")]
    assert sorted(last) == [f"last words of {number}" for number in range(1, count + 1)], "of who drains"
    made.addresses.close()


async def test_new_orders_reach_all_or_nobody_whatever_happens_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "_SILENT_LOOKS", 4)
    async with serving(tmp_path, count=2) as it:
        one, two = it.crew.members
        loaded = it.read(change=("name: excrypt", "name: other"))
        first, pids = it.crew.orders, (one.pid, two.pid)
        descriptors = len(os.listdir("/proc/self/fd"))

        # None can prepare: what was bound and opened for it is closed again.
        with pytest.raises(OSError, match=r"worker 1, 2.*catalogue"):
            await it.reloads.prepare(attrs.evolve(loaded, digest="of another catalogue"))
        it.reloads.forget()
        assert it.crew.orders is first
        assert len(os.listdir("/proc/self/fd")) == descriptors

        # One hangs: it is ended and replaced, and the other has not changed either.
        os.kill(two.pid, signal.SIGSTOP)
        with trio.fail_after(60), pytest.raises(OSError, match="worker 2"):
            await it.reloads.prepare(loaded)
        it.reloads.forget()
        await it.until(lambda: len(it.results()) == 4)
        assert it.results()[2:] == ["worker 2 lost", "worker 2 serving"]
        assert it.seen.steps[-3:] == ["gone 2", "introduced 2", "welcomed 2"]
        assert "it was silent" in next(event.detail for event in it.told if event.result == "lost")
        assert [member.orders for member in it.crew.members] == [first, first]

        # All can: all have.
        await it.reloads.prepare(loaded)
        await it.reloads.adopt()
        assert [member.orders for member in it.crew.members] == [it.crew.orders] * 2
        assert it.crew.orders is not first
        assert loaded.config is not None
        assert list(it.addresses.shown(loaded.config)) == ["other"]

        # A group comes and goes, and so does the journal of its writes.
        descriptors = len(os.listdir("/proc/self/fd"))
        second = "  - {name: more, tls: {mode: clear}, devices: [{name: hsm2, address: '127.0.0.1:2', role: primary}]}"
        for more in (second + "\nworkers: 2", "workers: 2"):
            await it.reloads.prepare(it.read(change=("name: excrypt", "name: other"), workers=more))
            await it.reloads.adopt()
            assert len(os.listdir("/proc/self/fd")) == descriptors + (more != "workers: 2")

        # One cannot adopt what it had prepared: its successor runs on it.
        changed = it.read("shutdown: {timeout: 5s}", change=("name: excrypt", "name: other"))
        await it.reloads.prepare(changed)
        two.forget()  # as if it had been lost there
        await it.reloads.adopt()
        await it.until(lambda: it.results()[4:] == ["worker 2 lost", "worker 2 serving"])
        assert [member.orders for member in it.crew.members] == [it.crew.orders] * 2
        assert it.crew.orders.text == changed.text
        assert one.pid == pids[0]
        assert two.pid != pids[1]


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


async def test_a_board_that_is_held_up_ends_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was stopped while it had the lock: what a dead one had outstanding counts until it is free."""
    monkeypatch.setattr(crew_module, "_CLEAR_AGAIN", 0.1)
    async with serving(tmp_path) as it:
        board = it.crew._board
        claimed = board.claim(1, b"k" * 16)  # by the worker, as far as others know
        assert claimed is not None
        held = open_board(f"/proc/self/fd/{board.descriptor}")
        try:
            fcntl.fcntl(held, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))
            os.kill(it.crew.members[0].pid, signal.SIGKILL)
            await it.until(lambda: it.seen.steps[-1] == "gone 1")
            await trio.sleep(0.3)
        finally:
            os.close(held)
        await it.until(lambda: it.results()[1:] == ["worker 1 lost", "worker 1 serving"])
        assert not board.map[board._claims(1) + claimed], "a dead one has nothing"


def open_board(path: str) -> int:
    """With locks of its own."""
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)
