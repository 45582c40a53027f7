"""A reload of the audit's settings while the disk refuses: no record is lost, and nothing is let through by it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from config import model
from config.model import OnFailure
from guardian.audit.file import AuditFile
from guardian.audit.settings import AuditReady
from guardian.audit.trail import AuditTrail
from guardian.events import Events, Kind
from tests.support.audit import verified


class Disks:
    """Those of `AuditFile`: `full` and `hung` say of which file names."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.full: set[str] = set()
        self.hung: set[str] = set()
        self.turns = threading.Event()
        write = AuditFile._write

        def written(file: AuditFile, data: bytes) -> None:
            if file.path.name in self.hung:
                self.turns.wait(60)
            if file.path.name in self.full:
                raise OSError(28, "No space left on device")
            write(file, data)

        patch.setattr(AuditFile, "_write", written)


@attrs.define
class World:
    trail: AuditTrail
    events: Events
    settings: model.Audit
    heard: list[bool]

    def adopt(self, **changes: object) -> None:
        self.settings = attrs.evolve(self.settings, **changes)  # type: ignore[arg-type]
        ready = AuditReady(settings=self.settings, key=None, side=None)
        self.trail.adopt(ready, self.trail.open(ready))

    def tell(self, *words: str) -> None:
        for word in words:
            self.events.tell(Kind.WILL, word, "drain")


@asynccontextmanager
async def world(path: Path) -> AsyncIterator[World]:
    heard: list[bool] = []
    events = Events()
    made = World(AuditTrail(events, heard.append), events, model.Audit(file=path), heard)
    async with trio.open_nursery() as nursery:
        made.adopt()
        nursery.start_soon(made.trail.run)
        yield made
        nursery.cancel_scope.cancel()
    made.trail.close()


async def until(true: Callable[[], bool]) -> None:
    with trio.fail_after(20):
        while not true():
            await trio.sleep(0.01)


def told(*paths: Path) -> list[str]:
    found = verified(*paths)
    assert not found.faults
    return [record.fields["what"] for record in found.records if record.fields["kind"] == "will"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> Disks:
    return Disks(monkeypatch)


async def test_a_reload_on_a_full_disk_loses_nothing_and_lets_nothing_through(path: Path, disks: Disks) -> None:
    async with world(path) as here:
        here.tell("before")
        await until(lambda: here.trail.snapshot().records == 1)
        disks.full.add(path.name)
        here.tell(*(f"hsm{number}" for number in range(50)))
        await until(lambda: here.trail.refusing)
        here.adopt(max_size=here.settings.max_size * 2)
        assert here.trail.refusing
        await trio.sleep(0.3)
        here.adopt(max_size=here.settings.max_size * 2)
        here.tell("after")
        await trio.sleep(0.3)
        assert here.heard == [True], "no moment between"
        disks.full.clear()
        await until(lambda: not here.trail.refusing)
        await until(lambda: not here.trail.snapshot().unwritten)
        assert here.trail.snapshot().lost == 0
    assert sorted(told(path)) == sorted(["before", "after", *(f"hsm{number}" for number in range(50))])


async def test_another_file_gets_what_the_full_disk_did_not(path: Path, disks: Disks) -> None:
    other = path.with_name("other.log")
    async with world(path) as here:
        disks.full.add(path.name)
        here.tell("a", "b")
        await until(lambda: here.trail.refusing)
        here.adopt(file=other)
        assert here.trail.refusing, "until a record is written there"
        await until(lambda: not here.trail.refusing)
        await until(lambda: not here.trail.snapshot().unwritten)
    assert sorted(told(other)) == ["a", "b"]
    said = [(each.fields["result"], each.fields["detail"]) for each in verified(other).records]
    assert said[1] == ("failed", "before a reload: No space left on device")


async def test_a_reload_on_a_disk_that_hangs_lets_nothing_through(path: Path, disks: Disks) -> None:
    async with world(path) as here:
        here.adopt(late=0.2)
        disks.hung.add(path.name)
        here.tell("a")
        await until(lambda: here.trail.refusing)
        here.adopt(max_size=here.settings.max_size * 2)
        await trio.sleep(0.3)
        assert here.heard == [True]
        disks.turns.set()
        await until(lambda: not here.trail.refusing)
    assert told(path) == ["a"]


@pytest.mark.parametrize("change", [{"file": None}, {"on_failure": OnFailure.CONTINUE}])
async def test_who_asks_for_no_evidence_any_more_is_not_refused(
    path: Path, disks: Disks, change: dict[str, object]
) -> None:
    async with world(path) as here:
        disks.full.add(path.name)
        here.tell("a")
        await until(lambda: here.trail.refusing)
        here.adopt(**change)
        assert here.heard == [True, False]
        disks.full.clear()
        await until(lambda: not here.trail.snapshot().unwritten)
    assert told(path) == ["a"], "what was told before it was switched off is still written"
