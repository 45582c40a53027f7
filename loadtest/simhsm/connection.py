"""One connection of a device: requests in, answers out in order, and what a fault makes of them."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loadtest.framing import Cutter

from .faults import Fault, FaultKind
from .journal import Outcome, Record
from .message import Message, compose, compose_error, parse
from .session import Session
from .stream import Gone, Stream

if TYPE_CHECKING:
    from .device import SimulatedDevice

_GARBAGE: Final = b"\x00\xff[[AO;;\x15\x03\x01"
_ENDS: Final = frozenset({FaultKind.RESET, FaultKind.CLOSE, FaultKind.CLOSE_HALF})


class _EndedError(Exception):
    """This connection was ended by a fault."""


@attrs.define(eq=False)
class Connection:
    """Created and served by its device."""

    number: int
    stream: Stream
    session: Session
    _device: SimulatedDevice
    _nursery: trio.Nursery  # for answers that come again later
    _stuck: bool = attrs.field(default=False, init=False)  # nothing is answered any more

    async def serve(self) -> None:
        """Until either side ends it. The stream is closed by the caller."""
        cutter = Cutter(self._device.framing)
        with suppress(Gone, _EndedError):
            if self._device.parallel > 1:
                await self._serve_in_parallel(cutter)
                return
            while data := await self.stream.receive():
                await self._work_off(cutter.feed(data))

    async def _work_off(self, pieces: list[bytes]) -> None:
        """One after the other. Answers that need no wait leave together, in one TLS record."""
        ready = bytearray()
        records: list[Record] = []
        for piece in pieces:
            record, message = self._arrived(piece)
            if self._stuck:
                continue
            if self._device.instant(message.code):
                ready += self._device.framing.wrap(self._execute(record, message))
                records.append(record)
                continue
            await self._flush(ready, records)
            fault, answer = await self._answer(record, message)
            await self._deliver(record, fault, answer, message)
        await self._flush(ready, records)

    async def _serve_in_parallel(self, cutter: Cutter) -> None:
        """Up to `parallel` requests at once; each answer waits for those before it."""
        room = trio.Semaphore(self._device.parallel)
        async with trio.open_nursery() as nursery:
            before = trio.Event()
            before.set()
            with suppress(Gone):  # here: from outside it would come in a group
                while data := await self.stream.receive():
                    for piece in cutter.feed(data):
                        record, message = self._arrived(piece)
                        await room.acquire()
                        done = trio.Event()
                        nursery.start_soon(self._one_of_many, record, message, room, before, done)
                        before = done
            nursery.cancel_scope.cancel()  # the client has gone: nobody waits for what is left

    async def _one_of_many(
        self, record: Record, message: Message, room: trio.Semaphore, before: trio.Event, done: trio.Event
    ) -> None:
        fault, answer = await self._answer(record, message)
        room.release()
        await before.wait()
        try:
            if not self._stuck:
                await self._deliver(record, fault, answer, message)
        except (Gone, _EndedError):
            self.stream.abort()  # wakes the reader, which ends the connection
            self._stuck = True
        finally:
            done.set()

    def _arrived(self, piece: bytes) -> tuple[Record, Message]:
        message = parse(piece)
        record = Record(time.monotonic(), self.number, self.session.identity, message.code, piece)
        self._device.journal.records.append(record)
        return record, message

    async def _answer(self, record: Record, message: Message) -> tuple[Fault | None, bytes]:
        """Work on a request for as long as it takes."""
        device = self._device
        fault = device.fault.draw(message.code) if device.fault is not None else None
        if fault is not None:
            record.fault = fault.kind
            if not fault.executed:
                return fault, b""
        async with device.busy(message.code):
            if device.hsm.slow(message.code):
                answer = await trio.to_thread.run_sync(self._execute, record, message, abandon_on_cancel=True)
            else:
                answer = self._execute(record, message)
        return fault, answer

    def _execute(self, record: Record, message: Message) -> bytes:
        done = self._device.hsm.execute(message, self.session, record.at)
        record.ran = time.monotonic()
        record.answer = done.answer
        record.users, record.login, record.table = done.users or None, done.login, done.table
        record.outcome = Outcome.EXECUTED if done.executed else Outcome.REFUSED
        return done.answer

    async def _flush(self, ready: bytearray, records: list[Record]) -> None:
        if not ready:
            return
        await self.stream.send(bytes(ready))
        for record in records:
            self._sent(record)
        ready.clear()
        records.clear()

    async def _deliver(self, record: Record, fault: Fault | None, answer: bytes, message: Message) -> None:
        """Send the answer, or what the fault makes of it.

        Raises _EndedError where that is the end of the connection.
        """
        if fault is None:
            await self.stream.send(self._device.framing.wrap(answer))
            self._sent(record)
            return
        if fault.kind in (FaultKind.HANG, FaultKind.MUTE):
            self._stuck = True
            return
        if fault.kind in _ENDS:
            await self._end(fault, answer)
        if fault.kind is FaultKind.LATE:
            await trio.sleep(fault.delay)
        sent = self._spoiled(fault, record, answer, message)
        await self.stream.send(sent)
        if record.answer is not None and record.answer in sent:
            self._sent(record)
        if fault.kind is FaultKind.REPEAT:
            self._nursery.start_soon(self._again, sent, fault.delay)

    async def _end(self, fault: Fault, answer: bytes) -> None:
        if fault.kind is FaultKind.RESET:
            self.stream.abort()
        elif fault.kind is FaultKind.CLOSE_HALF:
            whole = self._device.framing.wrap(answer)
            await self.stream.send(whole[: len(whole) // 2])
        raise _EndedError

    def _spoiled(self, fault: Fault, record: Record, answer: bytes, message: Message) -> bytes:
        """What is sent in place of the answer."""
        match fault.kind:
            case FaultKind.GARBAGE:
                return _GARBAGE
            case FaultKind.WRONG_ECHO if message.echo is not None:
                answer = compose(message.code, {}, f"{message.echo}0")
            case FaultKind.WRONG_CODE:
                answer = compose("STAT" if message.code == "ECHO" else "ECHO", {}, message.echo)
            case FaultKind.ERROR:
                record.outcome = Outcome.REFUSED
                record.answer = answer = compose_error(fault.number, "AO", fault.text, message.echo)
            case _:
                pass
        return self._device.framing.wrap(answer)

    async def _again(self, data: bytes, delay: float) -> None:
        await trio.sleep(delay)
        with suppress(Gone):
            if not self.stream.closed:
                self.stream.send_nowait(data)

    @staticmethod
    def _sent(record: Record) -> None:
        if record.outcome is Outcome.EXECUTED:
            record.outcome = Outcome.ANSWERED
