"""Texts and frames are made by processes of their own; whatever becomes of these, who looks gets them."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from guardian import processes
from guardian.admin.drawing import MODULE as DRAWING
from guardian.admin.drawing import Drawn, Sight, packed_sight, unpacked_sight
from guardian.admin.frame import About
from guardian.admin.making import DrawnBy, in_processes, in_threads, rendered_by
from guardian.apart import Apart, FaultError
from guardian.events import Event, Events, Kind
from guardian.metrics import Text
from guardian.metrics.apart import MODULE as RENDERING
from tests.support import operable

from .test_frame import merge

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PATIENCE = 30.0


def lines(text: Text) -> list[bytes]:
    """But for those whose figure changes all the time; their names are there."""
    changing = re.compile(rb"^(process_(?:cpu|resident|virtual|open)\w+) .*$", re.MULTILINE)
    return changing.sub(rb"\1", gzip.decompress(text.zipped)).splitlines()


async def test_a_text_is_the_same_to_the_byte_in_each_format() -> None:
    snapshot = operable.proxy()
    async with in_processes() as making:
        for accept in ("", OPENMETRICS):
            here, there = await in_threads().render(snapshot, "1", accept), await making.render(snapshot, "1", accept)
            assert there.kind == here.kind
            assert lines(there) == lines(here)
            assert there.cost > 0


async def test_memory_and_descriptors_are_those_of_the_proxy() -> None:
    with open("/dev/null") as one, open("/dev/null") as another:
        mine = len(os.listdir("/proc/self/fd"))
        async with in_processes() as making:
            text = gzip.decompress((await making.render(operable.proxy(), "1", "")).zipped).decode()
        assert one, another
    found = re.search(r"^process_open_fds (\d+)", text, re.MULTILINE)
    assert found is not None
    assert int(found[1]) >= mine - 1
    start = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    boot = next(line.split()[1] for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    began = re.search(r"^process_start_time_seconds (\S+)", text, re.MULTILINE)
    assert began is not None
    assert abs(float(began[1]) - (int(boot) + int(start) / os.sysconf("SC_CLK_TCK"))) < 0.1


async def test_what_cannot_be_rendered_is_told_and_the_next_is() -> None:
    good = operable.proxy()
    bad = attrs.evolve(good, reloads={"ok": "many"})
    async with Apart(RENDERING, PATIENCE) as apart:
        render = rendered_by(apart)
        with pytest.raises(FaultError):
            await render(bad, "1", "")
        assert apart.knows
        assert (await render(good, "1", "")).zipped


async def test_where_no_process_can_be_had_a_thread_renders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "command", lambda _module: ["true"])
    async with in_processes() as making:
        for _ in range(2):
            assert (await making.render(operable.proxy(), "1", "")).zipped


def sight(number: int, outstanding: int, told: Sequence[Event] = (), **more: Any) -> Sight:
    """That of frame ``number``, a second after the one before."""
    snapshot = operable.proxy(operable.group("payments", operable.device(outstanding=outstanding)))
    given: dict[str, Any] = {
        "about": About(version="1", data_path="compiled"), "before": number - 1, "anew": number == 1, "whole": False,
        "at": float(number), "wall": 1e9 + number, "snapshot": snapshot, "events": tuple(told), "fresh": 0,
    }  # fmt: skip
    return Sight(**{**given, **more})


def test_a_sight_comes_back_as_it_was() -> None:
    events = Events()
    events.tell(Kind.WILL, "payments/hsm1", "drain", by=operable.NIGHT_SHIFT, detail="as planned, für Zürich")
    sent = sight(3, 7, tuple(events.since(0)), snapshot=operable.proxy())
    assert unpacked_sight(packed_sight(sent)) == sent


async def test_frames_are_the_same_wherever_they_are_drawn() -> None:
    events = Events()
    here = in_threads()
    async with in_processes() as there:
        for number in range(1, 7):
            events.tell(Kind.RELOAD, "guardian", "ok")
            seen = sight(number, number % 3, tuple(events.since(0)), fresh=number - 1, whole=number == 4)
            drawn = await there.draw(seen)
            assert drawn == await here.draw(seen)
            assert (drawn.change is None) == (number == 1)
            assert (drawn.whole is None) == (number not in (1, 4))


async def test_when_who_draws_is_lost_the_next_frame_is_whole_with_all_events(monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events()
    events.tell(Kind.RELOAD, "guardian", "ok")
    told = tuple(events.since(0))

    def whole(drawn: Drawn) -> int:
        """Its number."""
        assert drawn.change is None
        assert drawn.whole is not None
        frame = json.loads(drawn.whole)
        assert len(frame["events"]) == 1
        assert frame["state"]["groups"]["payments"]["devices"]["hsm1"]["outstanding"] == frame["number"]
        return int(frame["number"])

    async with Apart(DRAWING, PATIENCE) as apart:
        draw = DrawnBy(apart).draw
        command = processes.command
        monkeypatch.setattr("guardian.apart._REST", 0.0)
        assert whole(await draw(sight(1, 1, told))) == 1
        assert (await draw(sight(2, 2, told, fresh=1))).whole is None
        await killed(apart)
        assert whole(await draw(sight(3, 3, told, fresh=1))) == 3
        for number in (4, 7):
            await killed(apart)
            monkeypatch.setattr(processes, "command", lambda _module: ["true"])
            assert whole(await draw(sight(number, number, told, fresh=1))) == number  # in a thread
            assert not apart.knows
            changed = (await draw(sight(number + 1, number + 1, told, fresh=1))).change
            assert changed is not None
            assert json.loads(changed)["events"] == []
            monkeypatch.setattr(processes, "command", command)
            assert whole(await draw(sight(number + 2, number + 2, told, fresh=1))) == number + 2
            assert apart.knows


async def killed(apart: Apart) -> None:
    process = apart._process
    assert process is not None
    process.kill()
    await process.wait()


async def test_a_change_leads_from_the_frame_before_to_the_whole_one() -> None:
    async with in_processes() as making:
        state: dict[str, Any] = {}
        for number in range(1, 5):
            drawn = await making.draw(sight(number, number, whole=True))
            assert drawn.whole is not None
            frame = json.loads(drawn.whole)
            if drawn.change is not None:
                assert merge(state, json.loads(drawn.change)["change"]) == frame["state"]
            state = frame["state"]
