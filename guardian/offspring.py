"""A process that outlives who starts it, and whose end is then heard by whoever adopts orphans: init, or systemd.

A process between the two is its parent while it may fail, so that its exit code is known, and ends when it is released.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import trio

# As a text: the files of this version may be gone by now. It closes what it inherits: who reads end of file on the
# other end of a socket must know that the offspring has ended.
_PARENT: Final = """
import os, sys
report = int(sys.argv[1])
pid = os.fork()
if not pid:
    os.close(report)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as exc:
        print(f"guardian: {sys.argv[2]}: {exc.strerror}", file=sys.stderr)
        os._exit(127)
os.write(report, b"%d" % pid)
for name in os.listdir("/proc/self/fd"):  # not all that there may be: these can be a thousand million
    if int(name) > 2:
        try:
            os.close(int(name))
        except OSError:
            pass  # the listing's own
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
os._exit(code if code >= 0 else 128 - code)
"""


class Offspring:
    def __init__(self, parent: trio.Process, pid: int) -> None:
        self.pid = pid
        self._parent = parent

    async def wait(self) -> int:
        """Its exit code, as a shell would tell it. Not after `release`."""
        return await self._parent.wait()

    def kill(self) -> None:
        if self._parent.returncode is None:  # so it has not been waited for, and the number is its own
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def release(self) -> None:
        """From now on somebody else hears of its end."""
        self._parent.kill()
        with trio.CancelScope(shield=True):
            await self._parent.wait()


async def start(command: Sequence[str], *, pass_fds: Iterable[int], env: Mapping[str, str]) -> Offspring:
    """Raises OSError. What it inherits beside the descriptors is what this process has."""
    reading, writing = os.pipe()
    try:
        parent = await trio.lowlevel.open_process(
            [sys.executable, "-I", "-S", "-c", _PARENT, str(writing), *command],
            pass_fds=[*pass_fds, writing],
            env=dict(env),
            stdin=subprocess.DEVNULL,
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    async with trio.lowlevel.FdStream(reading) as stream:
        with trio.CancelScope(shield=True):  # it comes within milliseconds, or end of file does
            said = await stream.receive_some(32)
            if not said:
                await parent.wait()
    if not said:
        raise OSError(f"{sys.executable} could not start a process")
    return Offspring(parent, int(said))
