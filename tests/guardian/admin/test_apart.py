"""Metrics are rendered by a process of their own; whatever becomes of that, who scrapes gets them."""

from __future__ import annotations

import gzip
import os
import re
import signal
from pathlib import Path

import attrs
import pytest
import structlog
import trio

from guardian import processes
from guardian.admin import apart
from guardian.admin.apart import Apart, NotRenderedError, in_a_thread
from guardian.metrics import Text
from tests.support import operable

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def lines(text: Text) -> list[bytes]:
    """But for those whose figure changes all the time; their names are there."""
    changing = re.compile(rb"^(process_(?:cpu|resident|virtual|open)\w+) .*$", re.MULTILINE)
    return changing.sub(rb"\1", gzip.decompress(text.zipped)).splitlines()


def pid_of(rendering: Apart) -> int:
    assert rendering._process is not None
    return rendering._process.pid


async def test_it_says_the_same_to_the_byte_in_each_format_and_ends_with_its_user() -> None:
    snapshot = operable.proxy()
    async with Apart() as rendering:
        for accept in ("", OPENMETRICS):
            here, there = await in_a_thread(snapshot, "1", accept), await rendering.render(snapshot, "1", accept)
            assert there.kind == here.kind
            assert lines(there) == lines(here)
            assert there.cost > 0
        pid = pid_of(rendering)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_memory_and_descriptors_are_those_of_the_proxy() -> None:
    with open("/dev/null") as one, open("/dev/null") as another:
        mine = len(os.listdir("/proc/self/fd"))
        async with Apart() as rendering:
            text = gzip.decompress((await rendering.render(operable.proxy(), "1", "")).zipped).decode()
        assert one, another
    found = re.search(r"^process_open_fds (\d+)", text, re.MULTILINE)
    assert found is not None
    assert int(found[1]) >= mine - 1
    start = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    boot = next(line.split()[1] for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    began = re.search(r"^process_start_time_seconds (\S+)", text, re.MULTILINE)
    assert began is not None
    assert abs(float(began[1]) - (int(boot) + int(start) / os.sysconf("SC_CLK_TCK"))) < 0.1


async def test_it_ignores_what_is_meant_for_the_proxy() -> None:
    async with Apart() as rendering:
        await rendering.render(operable.proxy(), "1", "")
        pid = pid_of(rendering)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
        await rendering.render(operable.proxy(), "1", "")
        assert pid_of(rendering) == pid


async def test_one_that_has_ended_is_started_again() -> None:
    async with Apart() as rendering:
        await rendering.render(operable.proxy(), "1", "")
        former = rendering._process
        assert former is not None
        former.kill()
        await former.wait()
        assert (await rendering.render(operable.proxy(), "1", "")).zipped
        assert pid_of(rendering) != former.pid


async def test_one_that_hangs_is_ended_and_a_thread_renders(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Apart() as rendering:
        await rendering.render(operable.proxy(), "1", "")
        former = rendering._process
        assert former is not None
        os.kill(former.pid, signal.SIGSTOP)
        monkeypatch.setattr(apart, "_PATIENCE", 0.1)
        with structlog.testing.capture_logs() as logs:
            assert (await rendering.render(operable.proxy(), "1", "")).zipped
        assert [entry["event"] for entry in logs] == ["metrics are rendered in a thread: their process fails"]
        assert former.returncode == -signal.SIGKILL


@pytest.mark.parametrize("found", ["/nowhere/python", "true", "yes"])
async def test_where_no_process_can_be_had_a_thread_renders(found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such program; one that ends at once; one that says something else."""
    monkeypatch.setattr(processes, "command", lambda _module: [found])
    async with Apart() as rendering:
        for _ in range(2):
            assert (await rendering.render(operable.proxy(), "1", "")).zipped


async def test_what_cannot_be_rendered_is_told_and_the_next_is() -> None:
    good = operable.proxy()
    bad = attrs.evolve(good, reloads={"ok": "many"})
    async with Apart() as rendering:
        with pytest.raises(NotRenderedError):
            await rendering.render(bad, "1", "")
        pid = pid_of(rendering)
        assert (await rendering.render(good, "1", "")).zipped
        assert pid_of(rendering) == pid


async def test_who_leaves_in_the_middle_does_not_leave_their_answer_to_the_next() -> None:
    async with Apart() as rendering:
        await rendering.render(operable.proxy(), "1", "")
        with trio.CancelScope() as scope:
            scope.cancel()
            await rendering.render(operable.proxy(), "1", "")
        assert (await rendering.render(operable.proxy(), "1", OPENMETRICS)).kind.startswith("application/openmetrics")


async def test_it_is_found_from_any_folder_and_nothing_is_found_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(tmp_path)
    async with Apart() as rendering:
        await rendering.render(operable.proxy(), "1", "")
        assert rendering._process is not None
