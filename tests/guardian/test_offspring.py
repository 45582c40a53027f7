"""A process is a child of somebody else in the end, and how it ended before is known."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from guardian.offspring import start

_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def orphanage() -> Iterator[None]:
    """This process hears of the ends of orphans, as init does."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_once_released_somebody_else_hears_of_its_end(orphanage: None) -> None:
    child = await start(["sleep", "60"], pass_fds=[], env=os.environ)
    between = parent_of(child.pid)
    assert between != os.getpid()
    await child.release()
    with trio.fail_after(30):
        while parent_of(child.pid) == between:
            await trio.sleep(0.01)
    assert parent_of(child.pid) == os.getpid()
    os.kill(child.pid, signal.SIGKILL)
    found, status = await trio.to_thread.run_sync(os.waitpid, child.pid, 0)
    assert (found, os.waitstatus_to_exitcode(status)) == (child.pid, -signal.SIGKILL)


async def test_its_exit_code_is_known() -> None:
    child = await start([sys.executable, "-c", "raise SystemExit(7)"], pass_fds=[], env=os.environ)
    assert await child.wait() == 7


async def test_what_cannot_be_run_is_told_by_its_exit_code() -> None:
    child = await start(["/nothing/here"], pass_fds=[], env=os.environ)
    assert await child.wait() == 127


async def test_it_can_be_killed() -> None:
    child = await start(["sleep", "60"], pass_fds=[], env=os.environ)
    child.kill()
    assert await child.wait() == 128 + signal.SIGKILL


async def test_nobody_else_holds_what_it_inherits() -> None:
    reading, writing = os.pipe()
    child = await start(["sleep", "60"], pass_fds=[writing], env=os.environ)
    os.close(writing)
    child.kill()
    async with trio.lowlevel.FdStream(reading) as stream:
        with trio.fail_after(30):
            assert await stream.receive_some(1) == b""
    await child.wait()
