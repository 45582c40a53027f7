"""`guardian run` as its own process, as a user starts it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

GUARDIAN = Path(sys.executable).with_name("guardian")


@attrs.define
class Running:
    process: trio.Process
    lines: list[dict[str, object]]  # what it logged

    @property
    def address(self) -> tuple[str, int]:
        listeners = self.event("serving")["listeners"]
        assert isinstance(listeners, dict)
        return _address(listeners["excrypt"])

    @property
    def admin(self) -> tuple[str, int]:
        return _address(self.event("serving")["admin"])

    def event(self, name: str) -> dict[str, object]:
        """The last line of that event. Raises LookupError."""
        for line in reversed(self.lines):
            if line.get("event") == name:
                return line
        raise LookupError(name)

    async def until(self, name: str, seconds: float = 60.0) -> dict[str, object]:
        with trio.fail_after(seconds):
            while True:
                try:
                    return self.event(name)
                except LookupError:
                    await trio.sleep(0.01)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@asynccontextmanager
async def running(
    config: Path, *, descriptors: int | None = None, before: Sequence[str] = (), environment: Mapping[str, str] = {}
) -> AsyncIterator[Running]:
    """Run it until the block ends; ``descriptors`` limits its open files, ``before`` is a program that starts it."""

    def limit() -> None:
        if descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(
            [*before, str(GUARDIAN), "run", str(config)],
            stderr=subprocess.PIPE,
            preexec_fn=limit,
            env={**os.environ, **environment},
        )
        started = Running(process, [])
        nursery.start_soon(_read, process, started.lines)
        try:
            await started.until("serving", 60.0)
            yield started
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            nursery.cancel_scope.cancel()


async def _read(process: trio.Process, lines: list[dict[str, object]]) -> None:
    assert process.stderr is not None
    rest = b""
    async with process.stderr as stream:
        async for data in stream:
            *whole, rest = (rest + data).split(b"\n")
            lines.extend(json.loads(line) for line in whole if line.startswith(b"{"))


def _address(text: object) -> tuple[str, int]:
    host, _, port = str(text).rpartition(":")
    return host, int(port)
