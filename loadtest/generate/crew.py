"""The parent: starts the processes of a run, gives them one moment to begin, and gathers what they tell."""

from __future__ import annotations

import os
import select
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import msgspec

from loadtest.compare.processes import Processes, Program

from .result import Result
from .scenario import Scenario
from .tally import Told
from .worker import encode_scenario

_HEAD_START: Final = 0.25  # seconds from the word to begin until the beginning
_GRACE: Final = 30.0  # seconds that a process may be silent
_LOOK: Final = 0.25  # seconds between two looks of whoever watches


class UnreachableError(Exception):
    """Not one connection could be made; the text says why."""


class FailedError(Exception):
    """A process of the generator could not do its work; the text says why."""


@attrs.define(eq=False)
class Member:
    program: Program
    control: int
    told: bytes = b""
    heard: float = attrs.field(factory=time.monotonic)
    ended: bool = False

    def say(self, line: bytes) -> None:
        """A process that is gone hears nothing; that it is gone shows where it is read."""
        try:
            os.write(self.control, line + b"\n")
        except OSError:
            return

    @property
    def fd(self) -> int:
        assert self.program.process.stdout is not None, "it was started with a pipe"
        return self.program.process.stdout.fileno()


class Crew:
    """The processes of one run. Used as a context, which ends them all."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        """``folder`` takes what the processes say when they fail."""
        self._scenario = scenario
        self._processes = Processes(folder)
        self._members: list[Member] = []
        self._decoder = msgspec.json.Decoder(Told)
        self.result = Result(scenario)

    def __enter__(self) -> Crew:
        line = encode_scenario(self._scenario)
        for index in range(self._scenario.processes):
            ours, control = self._start(index)
            member = Member(ours, control)
            self._members.append(member)
            member.say(line)
        return self

    def __exit__(self, *_: object) -> None:
        for member in self._members:
            os.close(member.control)
        self._processes.__exit__(None, None, None)

    def _start(self, index: int) -> tuple[Program, int]:
        theirs, control = os.pipe()
        safe = ["-P"] if sys.flags.safe_path else []
        command = [sys.executable, *safe, "-m", "loadtest.generate.worker", str(index), str(theirs)]
        try:
            program = self._processes.start(f"process {index + 1} of the generator", command, piped=True, keep=[theirs])
        finally:
            os.close(theirs)
        return program, control

    def connect(self) -> None:
        """Wait until all processes have tried their connections. Raises UnreachableError, FailedError."""
        while len(self.result.ready) < len(self._members):
            self._gather(self._scenario.connect_timeout + _GRACE)
        if not any(ready.connected for ready in self.result.ready):
            reasons: Counter[str] = Counter()
            for ready in self.result.ready:
                reasons.update(ready.events)
            targets = ", ".join(str(target) for target in self._scenario.target)
            why = ", ".join(reason for reason, _ in reasons.most_common(3)) or "no connection in time"
            raise UnreachableError(f"no connection to {targets}: {why}")

    def run(self, watch: Callable[[Result, float], None], stop: Callable[[], bool]) -> None:
        """Until all is over. ``watch`` is shown the result and the run's seconds, some times a second; ``stop`` is
        asked whether to send no more. Raises FailedError."""
        start = time.monotonic() + _HEAD_START
        for member in self._members:
            member.say(repr(start).encode())
        while not all(member.ended for member in self._members):
            if stop() and not self.result.stopped:
                self.result.stopped = True
                for member in self._members:
                    member.say(b"stop")
            self._gather(_GRACE + self._scenario.timeout)
            watch(self.result, max(0.0, time.monotonic() - start))
        self.result.finish()

    def _gather(self, silence: float) -> None:
        """Take what the processes tell, for at most `_LOOK` seconds."""
        members = {member.fd: member for member in self._members if not member.ended}
        readable, _, _ = select.select(list(members), [], [], _LOOK)
        now = time.monotonic()
        for fd in readable:
            member = members[fd]
            member.heard = now
            data = os.read(fd, 1_048_576)
            if not data:
                member.program.process.wait(timeout=_GRACE)
                raise FailedError(self._why(member.program))
            *lines, member.told = (member.told + data).split(b"\n")
            for line in lines:
                self._take(member, self._decoder.decode(line))
        for member in members.values():
            if now - member.heard > silence:
                raise FailedError(str(member.program.failed(f"said nothing for {silence:g} s")))

    def _take(self, member: Member, told: Told) -> None:
        if told.ready is not None:
            self.result.add_ready(told.ready)
        if told.second is not None:
            self.result.add(told.second)
        if told.ending is not None:
            self.result.endings.append(told.ending)
            member.ended = True

    @staticmethod
    def _why(program: Program) -> str:
        """What is wrong with its files, in its own words; else the end of what it printed."""
        said = program.errors.read_text(errors="replace").strip()
        if program.process.returncode == 1 and said and "\n" not in said:
            return said
        return str(program.failed("ended"))
