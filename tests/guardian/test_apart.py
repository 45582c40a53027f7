"""Work is done by a process of its own, which is ended with its user and replaced when it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing

from guardian import metrics, processes
from guardian.apart import Apart, FaultError, GoneError
from guardian.metrics.apart import MODULE, Question, read_text
from guardian.packing import encode, packed_snapshot
from tests.support import operable

PATIENCE = 30.0
WARNING = "a process of ours fails: its work is done in a thread"


def question(accept: str = "") -> bytes:
    return encode(Question(version="1", accept=accept, snapshot=packed_snapshot(operable.proxy()), own=()))


def pid_of(apart: Apart) -> int:
    assert apart._process is not None
    return apart._process.pid


async def test_one_process_answers_and_ends_with_its_user() -> None:
    async with Apart(MODULE, PATIENCE) as apart:
        assert not apart.knows
        assert read_text(await apart.ask(question())).zipped
        assert apart.knows
        pid = pid_of(apart)
        await apart.ask(question())
        assert pid_of(apart) == pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_it_ignores_what_is_meant_for_the_proxy() -> None:
    async with Apart(MODULE, PATIENCE) as apart:
        await apart.ask(question())
        pid = pid_of(apart)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
        await apart.ask(question())
        assert pid_of(apart) == pid


async def test_one_that_has_ended_is_started_again() -> None:
    async with Apart(MODULE, PATIENCE) as apart:
        await apart.ask(question())
        former = apart._process
        assert former is not None
        former.kill()
        await former.wait()
        assert not apart.knows
        await apart.ask(question())
        assert pid_of(apart) != former.pid


async def test_one_that_hangs_is_ended_and_the_log_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Apart(MODULE, PATIENCE) as apart:
        await apart.ask(question())
        former = apart._process
        assert former is not None
        os.kill(former.pid, signal.SIGSTOP)
        monkeypatch.setattr(apart, "_patience", 0.1)
        with structlog.testing.capture_logs() as logs, pytest.raises(GoneError):
            await apart.ask(question())
        assert [entry["event"] for entry in logs] == [WARNING]
        assert former.returncode == -signal.SIGKILL


async def test_it_takes_idle_cores_and_where_there_are_none_its_successor_shares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("guardian.apart._REST", 0.0)
    async with Apart(MODULE, PATIENCE) as apart:
        await apart.ask(question())
        assert os.sched_getscheduler(pid_of(apart)) == os.SCHED_IDLE
        os.kill(pid_of(apart), signal.SIGSTOP)  # as one that never gets a core
        monkeypatch.setattr("guardian.apart._IDLE_PATIENCE", 0.1)
        with structlog.testing.capture_logs() as logs, pytest.raises(GoneError):
            await apart.ask(question())
        assert [entry["event"] for entry in logs] == [WARNING]
        for _ in range(2):  # the second is started since the first has ended, which says nothing of the cores
            await apart.ask(question())
            successor = apart._process
            assert successor is not None
            assert os.sched_getscheduler(successor.pid) == os.SCHED_OTHER
            assert os.getpriority(os.PRIO_PROCESS, successor.pid) > os.getpriority(os.PRIO_PROCESS, 0)
            successor.kill()
            await successor.wait()


@pytest.mark.parametrize("found", ["/nowhere/python", "true", "yes"])
async def test_where_no_process_can_be_had_nobody_waits_for_another_at_once(
    found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such program; one that ends at once; one that says something else."""
    tried: list[str] = []
    monkeypatch.setattr(processes, "command", lambda module: tried.append(module) or [found])
    async with Apart(MODULE, PATIENCE) as apart:
        for _ in range(3):
            with pytest.raises(GoneError):
                await apart.ask(question())
        assert tried == [MODULE]
        monkeypatch.setattr("guardian.apart._REST", 0.0)
        with pytest.raises(GoneError):
            await apart.ask(question())
        assert tried == [MODULE, MODULE]


async def test_what_cannot_be_worked_out_is_told_and_the_next_is() -> None:
    async with Apart(MODULE, PATIENCE) as apart:
        with pytest.raises(FaultError, match="ValidationError"):
            await apart.ask(b"no question")
        pid = pid_of(apart)
        assert await apart.ask(question())
        assert pid_of(apart) == pid


async def test_who_leaves_in_the_middle_does_not_leave_their_answer_to_the_next() -> None:
    openmetrics = "application/openmetrics-text; version=1.0.0"
    async with Apart(MODULE, PATIENCE) as apart:
        await apart.ask(question())
        os.kill(pid_of(apart), signal.SIGSTOP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(apart.ask, question(openmetrics))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            os.kill(pid_of(apart), signal.SIGCONT)
        assert read_text(await apart.ask(question())).kind == metrics.content_type("")


async def test_it_is_found_from_any_folder_and_nothing_is_found_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(tmp_path)
    async with Apart(MODULE, PATIENCE) as apart:
        assert await apart.ask(question())


ASK = """
import sys
sys.path[:0] = {path!r}
import trio
import guardian.apart
guardian.apart._IDLE_PATIENCE = 30.0  # a full machine has no idle core for it
async def ask():
    async with guardian.apart.Apart("guardian.metrics.apart", 30.0) as apart:
        return await apart.ask(bytes.fromhex(sys.argv[1]))
sys.stdout.buffer.write(trio.run(ask))
"""


@pytest.mark.parametrize("flags", ["-I", "-IS", "-P"])
def test_it_finds_what_its_parent_found_however_that_was_told_where(flags: str, tmp_path: Path) -> None:
    """As the program of the Debian package, which appends to ``sys.path``, and as one that got PYTHONPATH."""
    program = ASK.format(path=[folder for folder in sys.path if folder])
    done = subprocess.run(
        [sys.executable, flags, "-c", program, question().hex()],
        capture_output=True, check=False, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, timeout=60,
    )  # fmt: skip
    assert done.stderr == b""
    assert read_text(done.stdout).zipped
