"""Work for a process of its own: a thread would take the interpreter from the requests again and again.

The process is started by the first question, and ended with its user. Nothing secret goes there: snapshots hold none.
It runs while a core is idle. Where that was not enough once, its successors share the cores with the proxy.
"""

from __future__ import annotations

import os
import subprocess
from types import TracebackType
from typing import Final, Self

import structlog
import trio

from . import processes
from .answering import DONE, LENGTH, SHARING, framed
from .logs import RateLimited

_LONGEST: Final = 67_108_864  # bytes of an answer
_IDLE_PATIENCE: Final = 2.0  # seconds of one answer, while it is made where a core is idle
_REST: Final = 5.0  # seconds after a failure in which nobody is kept waiting for another


class GoneError(Exception):
    """There is no answer, since the process cannot be had, hangs or has ended."""


class FaultError(Exception):
    """It cannot be worked out, by whomever."""


class Apart:
    def __init__(self, module: str, patience: float) -> None:
        """``module`` calls `answering.answer`. ``patience``: seconds of one answer, its start included, at most."""
        self._module = module
        self._patience = patience
        self._process: trio.Process | None = None
        self._sharing = False
        self._failed: float | None = None  # when, last
        self._faults = RateLimited()
        self._log = structlog.get_logger()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()  # noqa: ASYNC102 - it is killed, which takes no time

    @property
    def knows(self) -> bool:
        """Whether the next question goes to the process that had the last."""
        return self._process is not None and self._process.poll() is None

    async def ask(self, question: bytes) -> bytes:
        """One at a time. Raises `GoneError`, after the log was told, and `FaultError`.

        Not cancelled in the middle, which is how nobody ever takes an older answer.
        """
        if self._failed is not None and trio.current_time() - self._failed < _REST:
            raise GoneError
        patience = self._patience if self._sharing else min(self._patience, _IDLE_PATIENCE)
        try:
            with trio.fail_after(patience, shield=True):
                said = await self._ask(framed(question))
        except (OSError, EOFError, trio.BrokenResourceError, trio.TooSlowError) as exc:
            await self._end()
            self._failed = trio.current_time()
            self._sharing = self._sharing or isinstance(exc, trio.TooSlowError)
            held = self._faults.admit(self._failed)
            if held is not None:
                event = "a process of ours fails: its work is done in a thread"
                self._log.warning(event, process=self._module, error=exc, held_back=held)
            raise GoneError from exc
        if said[:1] != DONE:
            raise FaultError(said[1:].decode())
        return said[1:]

    async def _ask(self, question: bytes) -> bytes:
        process = self._process
        if process is None or process.poll() is not None:
            await self._end()
            process = self._process = await trio.lowlevel.open_process(
                processes.command(self._module, *[SHARING] * self._sharing),
                env=processes.environment(os.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        assert process.stdin is not None, "it was started with it"
        await process.stdin.send_all(question)
        length = int.from_bytes(await _exactly(process, LENGTH))
        if not 0 < length <= _LONGEST:
            raise EOFError(f"an answer of {length} bytes")
        return await _exactly(process, length)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    await trio.aclose_forcefully(pipe)


async def _exactly(process: trio.Process, count: int) -> bytes:
    assert process.stdout is not None, "it was started with it"
    data = bytearray()
    while len(data) < count:
        more = await process.stdout.receive_some(count - len(data))
        if not more:
            raise EOFError("it has ended")
        data += more
    return bytes(data)
