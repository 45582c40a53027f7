"""Starts programs and sees to it that every one of them ends, whatever happens here."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import attrs

STOP_TIMEOUT: Final = 10.0  # seconds from SIGTERM to SIGKILL
LOG_LINES: Final = 15  # of a failed program, shown to the user


class ProgramError(Exception):
    """A program ended, or did not get ready; the text has the end of what it printed."""


@attrs.define(eq=False)
class Program:
    name: str
    process: subprocess.Popen[str]
    output: Path
    errors: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def failed(self, what: str) -> ProgramError:
        printed = [file.read_text(errors="replace").splitlines() for file in (self.output, self.errors)]
        lines = [line for lines in printed for line in lines[-LOG_LINES:]]
        ended = self.process.poll()
        how = f" (exit code {ended})" if ended is not None else ""
        return ProgramError("\n".join([f"{self.name} {what}{how}", *(f"  | {line}" for line in lines)]))

    def check(self) -> None:
        """Raise ProgramError when it has ended."""
        if self.process.poll() is not None:
            raise self.failed("ended")

    def wait_until(self, ready: Callable[[], bool], *, timeout: float) -> None:
        """Ask `ready` until it is true. Raises ProgramError when the program ends or `timeout` seconds pass."""
        deadline = time.monotonic() + timeout
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise self.failed(f"was not ready within {timeout:g} s")
            time.sleep(0.02)

    def first_line(self, *, timeout: float) -> str:
        """The first line it prints on standard output, unless that is piped. Raises ProgramError."""
        self.wait_until(lambda: "\n" in self.output.read_text(errors="replace"), timeout=timeout)
        return self.output.read_text(errors="replace").split("\n", 1)[0]


class Processes:
    """A context that ends what was started in it, newest first: SIGTERM, and SIGKILL for who does not listen.

    Where util-linux has setpriv, the programs are also killed when this process dies without leaving the context.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` takes the programs' output; it must outlive the context."""
        self._folder = folder
        self._programs: list[Program] = []
        self._started = 0
        setpriv = shutil.which("setpriv")
        self._prefix = [setpriv, "--pdeathsig"] if setpriv else []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._programs:
            self.stop(self._programs[-1])

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        piped: bool = False,
        keep: Sequence[int] = (),
        on_our_death: str = "KILL",
    ) -> Program:
        """Start it; with `piped` its standard output can be read from `process`, else it goes to a file.

        `keep` are descriptors that the program inherits under their number; `on_our_death` is the signal that it gets
        when this process dies.
        """
        prefix = [*self._prefix, on_our_death] if self._prefix else []
        self._started += 1
        stem = f"{self._started}-{name.replace(' ', '-')}"
        output, errors = self._folder / f"{stem}.out", self._folder / f"{stem}.err"
        with output.open("w") as out, errors.open("w") as err:
            process = subprocess.Popen(
                [*prefix, *(str(part) for part in command)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else out,
                stderr=err,
                pass_fds=keep,
                text=True,
            )
        program = Program(name=name, process=process, output=output, errors=errors)
        self._programs.append(program)
        return program

    def stop(self, program: Program) -> int:
        """End it and return its exit code. It may have ended by itself before."""
        try:
            if program.process.poll() is None:
                program.process.terminate()
            return program.process.wait(timeout=STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            return -9
        finally:
            # On every way out, an interrupt while waiting included: nothing of ours may go on.
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()
            if program.process.stdout is not None:
                program.process.stdout.close()
            if program in self._programs:
                self._programs.remove(program)
