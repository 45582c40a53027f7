"""The demo's subprocesses: `guardian` commands, each with its log in a file, all ended when the demo ends."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs
import trio

# The command of the installation that runs us; -P keeps the working folder out of the import path. The leash ends it
# should we be killed.
_GUARDIAN: Final = (sys.executable, "-P", "-m", "loadtest.leash")
_READY: Final = 20.0  # seconds for a program to say that it serves
_END: Final = 5.0  # seconds from SIGTERM to SIGKILL
_LAST_LINES: Final = 5


class ProgramFailed(Exception):  # noqa: N818 (says what happened)
    """A program did not do what the demo needs; the text has its last words."""


@attrs.define(eq=False)
class Program:
    """One subprocess, in a session of its own so that Ctrl-C reaches only the demo, which then ends it in order."""

    name: str
    _log: Path
    _process: trio.Process

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def ended_well(self) -> bool:
        return self._process.poll() == 0

    def kill(self) -> None:
        """SIGKILL, as if the power went."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def ask_to_end(self) -> None:
        with suppress(ProcessLookupError):
            self._process.terminate()

    async def wait(self) -> None:
        await self._process.wait()

    async def ready_line(self) -> dict[str, Any]:
        """The JSON that the program prints when it is ready. Raises ProgramFailed."""
        assert self._process.stdout is not None
        text = b""
        with trio.move_on_after(_READY):
            while b"\n" not in text:
                data = await self._process.stdout.receive_some(4096)
                if not data:
                    break
                text += data
        if b"\n" not in text:
            raise self.failure("did not start")
        ready: dict[str, Any] = json.loads(text.partition(b"\n")[0])
        return ready

    def failure(self, what: str) -> ProgramFailed:
        with suppress(OSError):
            lines = self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
            return ProgramFailed("\n".join([f"{self.name} {what}", *lines]))
        return ProgramFailed(f"{self.name} {what}")


class Programs:
    """An async context: leaving it ends everything that still runs, whatever happened."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[Program] = []

    async def __aenter__(self) -> Programs:
        return self

    async def __aexit__(self, *_: object) -> None:
        with trio.CancelScope(shield=True):  # bounded: what does not end in time is killed
            for program in reversed(self._all):
                program.ask_to_end()
            with trio.move_on_after(_END):
                for program in self._all:
                    await program.wait()
            for program in self._all:
                program.kill()
                await program.wait()

    async def start(self, name: str, *arguments: str, piped: bool = False) -> Program:
        """Start `guardian ARGUMENTS`. With `piped` its stdout is ours to read, else it goes to the log too."""
        log = self._folder / f"{name}.log"
        with log.open("ab") as output:
            process = await trio.lowlevel.open_process(
                [*_GUARDIAN, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if piped else output,
                stderr=output,
                cwd=self._folder,
                start_new_session=True,
            )
        program = Program(name, log, process)
        self._all.append(program)
        return program

    async def run(self, name: str, *arguments: str) -> None:
        """Run `guardian ARGUMENTS` to its end. Raises ProgramFailed unless it ends well."""
        program = await self.start(name, *arguments)
        await program.wait()
        if not program.ended_well:
            raise program.failure("failed")
