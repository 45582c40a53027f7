"""The process that renders metrics, as the proxy sees it: started by the first scrape, ended with the admin port."""

from __future__ import annotations

import os
import subprocess
from types import TracebackType
from typing import Final, Self

import msgspec
import structlog
import trio

from balancer.snapshot import ProxySnapshot
from guardian import handover, metrics, notify, processes
from guardian.logs import RateLimited
from guardian.metrics.apart import LENGTH, Answer, Question, framed

_MODULE: Final = "guardian.metrics.apart"
_NOT_FOR_IT: Final = frozenset({handover.VARIABLE, notify.SOCKET, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"})
_PATIENCE: Final = 10.0  # seconds of one rendering, its start included
_LONGEST: Final = 67_108_864  # bytes of an answer


class NotRenderedError(Exception):
    """The snapshot cannot be rendered, by whomever."""


async def in_a_thread(snapshot: ProxySnapshot, version: str, accept: str) -> metrics.Text:
    """Where nothing else waits for the interpreter, or no process can be had."""
    return await trio.to_thread.run_sync(lambda: metrics.compressed(snapshot, version, accept, metrics.own_figures()))


class Apart:
    """`render` is for one at a time. Where the process cannot be had, a thread renders instead, and the log says so."""

    def __init__(self) -> None:
        self._process: trio.Process | None = None
        self._decode = msgspec.msgpack.Decoder(Answer).decode
        self._faults = RateLimited()
        self._log = structlog.get_logger()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()  # noqa: ASYNC102 - it is killed, which takes no time

    async def render(self, snapshot: ProxySnapshot, version: str, accept: str) -> metrics.Text:
        """Raises `NotRenderedError`. Not cancelled in the middle, which is how it never takes an older answer."""

        def question() -> bytes:
            own = metrics.own_figures()
            return framed(Question(version=version, accept=accept, snapshot=snapshot, own=own))

        try:
            with trio.fail_after(_PATIENCE, shield=True):
                answer = self._decode(await self._ask(await trio.to_thread.run_sync(question)))
        except (OSError, EOFError, trio.BrokenResourceError, trio.TooSlowError, msgspec.DecodeError) as exc:
            await self._end()
            held = self._faults.admit(trio.current_time())
            if held is not None:
                self._log.warning("metrics are rendered in a thread: their process fails", error=exc, held_back=held)
            return await in_a_thread(snapshot, version, accept)
        if answer.text is None:
            raise NotRenderedError(answer.fault)
        return answer.text

    async def _ask(self, question: bytes) -> bytes:
        process = self._process
        if process is None or process.poll() is not None:
            await self._end()
            process = self._process = await trio.lowlevel.open_process(
                processes.command(_MODULE),
                env=processes.environment(os.environ, _NOT_FOR_IT),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        assert process.stdin is not None, "it was started with it"
        await process.stdin.send_all(question)
        length = int.from_bytes(await _exactly(process, LENGTH))
        if length > _LONGEST:
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
