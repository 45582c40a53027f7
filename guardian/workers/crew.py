"""All workers: each is kept running, new orders reach all of them or none, and in the end all drain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final, Protocol

import structlog
import trio

from config.model import Shutdown
from guardian.events import Events, Kind
from health.backoff import Backoff

from .board import Board
from .channel import Channel, ChannelError, PeerGone
from .member import Member
from .orders import Orders
from .verdicts import relay
from .worker import ALIVE_EVERY

_FIRST_PAUSE: Final = 0.1  # seconds until a dead worker is replaced
_LONGEST_PAUSE: Final = 10.0  # seconds: it dies again and again
_WELL_AFTER: Final = 30.0  # seconds of service: then its next end is the first again
_SILENT_LOOKS: Final = 15  # counted, not timed, so that a machine that stood still is no reason
_CLEAR_AGAIN: Final = 1.0  # seconds
_LAST_WORDS: Final = 3.0  # seconds that a worker may take to end after it has drained


class Seeing(Protocol):
    """Who wants to know which workers there are, and has something to tell each."""

    def introduce(self, number: int, channel: Channel) -> None:
        """It is started; its channel does not run yet."""

    async def welcome(self, number: int, channel: Channel, pid: int) -> None:
        """It is ready, and lets nobody in yet. Raises ChannelError."""

    def farewell(self, number: int) -> None:
        """It has ended."""


class CannotServeError(OSError):
    """A worker could not be started at all; the text says which, and why, for people."""


class Crew:
    """Give it its ``orders``, run `run`, and tell it of new ones by `prepare` and `adopt`."""

    def __init__(self, file: Path, count: int, board: int, seeing: Seeing, events: Events) -> None:
        """``board``: the descriptor of one for ``count`` workers."""
        self.members = [Member(number, count, file, board) for number in range(1, count + 1)]
        self.orders: Orders
        self.ending = False
        self._channels: dict[int, Channel] = {}  # of those that run
        self._board = Board(board)
        self._seeing = seeing
        self._events = events
        self._random = Random()  # noqa: S311 - for jitter only
        self._last = trio.Event()  # set when nobody is to be started any more
        self._gone = trio.Event()  # set when nobody is left
        self._log = structlog.get_logger()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Reports when all serve; then keeps them, until all have drained. Raises CannotServeError before it reports.

        Where it is cancelled they are killed.
        """
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as starting:
                for member in self.members:
                    starting.start_soon(nursery.start, self._keep, member)
            task_status.started()
        self._gone.set()

    async def _keep(self, member: Member, *, task_status: trio.TaskStatus[None]) -> None:
        """One process after the other. The first has to serve."""
        backoff = Backoff(self._random, first=_FIRST_PAUSE, most=_LONGEST_PAUSE)
        reported = False

        def serves() -> None:
            nonlocal reported
            if not reported:
                reported = True
                task_status.started()

        while not self.ending:
            began = trio.current_time()
            how = await self._life(member, serves)
            if not reported:
                raise CannotServeError(f"{member.name} cannot serve: {how}")
            if self.ending:
                break
            if trio.current_time() - began > _WELL_AFTER:
                backoff.succeeded()
            backoff.failed(trio.current_time())
            pause = round(backoff.wait(trio.current_time()), 2)
            self._log.error("a worker has ended, another is started", worker=member.number, reason=how, pause=pause)
            self._events.tell(Kind.WORKER, member.name, "lost", detail=how)
            with trio.move_on_after(pause):
                await self._last.wait()

    async def _life(self, member: Member, serves: Callable[[], None]) -> str:
        """Of one process, until it has ended; gives why, for people."""
        try:
            await member.start()
        except OSError as exc:
            return f"no process can be started: {exc.strerror}"
        self._channels[member.number] = member.channel
        relay(self._channels, member.number)
        self._seeing.introduce(member.number, member.channel)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(member.channel.run)
                why = await self._serve(member, serves)
                nursery.cancel_scope.cancel()
        except BaseException:
            member.kill()
            raise
        finally:
            how = await member.wait()  # noqa: ASYNC102 - shielded there, and soon killed
            del self._channels[member.number]
            self._seeing.farewell(member.number)
        await self._clear(member)
        return why or how

    async def _clear(self, member: Member) -> None:
        """What it had on the board. Whoever holds that up was stopped in the middle, and is ended before long."""
        while True:
            try:
                self._board.clear(member.number)
            except OSError as exc:
                self._log.warning("a dead worker still counts", worker=member.number, reason=exc.strerror)
                await trio.sleep(_CLEAR_AGAIN)
            else:
                return

    async def _serve(self, member: Member, serves: Callable[[], None]) -> str:
        """Until it ends, or has to be ended; then it gives why."""
        try:
            await self._begin(member)
        except PeerGone:
            return ""
        except (ChannelError, OSError) as exc:  # OSError: what it was to be given is closed, as others do without
            member.kill()
            return str(exc)
        self._log.info("a worker serves", worker=member.number, pid=member.pid)
        self._events.tell(Kind.WORKER, member.name, "serving", detail=f"process {member.pid}")
        serves()
        while not member.channel.ended.is_set():
            with trio.move_on_after(ALIVE_EVERY):
                await member.channel.ended.wait()
                break
            member.silent += 1
            if member.silent == _SILENT_LOOKS:
                member.kill()
                return f"it was silent for {_SILENT_LOOKS * ALIVE_EVERY:g} s, and is ended"
        return ""

    async def _begin(self, member: Member) -> None:
        """Until it lets clients in. Raises ChannelError, OSError."""
        orders = self.orders
        await member.prepare(orders, anew=True)
        await member.adopt(orders)
        await self._seeing.welcome(member.number, member.channel, member.pid)
        if orders is not self.orders:
            raise ChannelError("others had new orders before it could serve")
        if self.ending:
            raise ChannelError("all are to end")
        await member.let_in()

    # --- new orders ----------------------------------------------------------------------------------------------

    async def prepare(self, orders: Orders) -> None:
        """Raises OSError where any cannot: then none has changed anything, and `forget` is to follow."""
        asked = [member for member in self.members if member.serving]
        problems: dict[int, str] = {}

        async def ask(member: Member) -> None:
            try:
                await member.prepare(orders, anew=False)
            except ChannelError as exc:
                problems[member.number] = str(exc)

        async with trio.open_nursery() as nursery:
            for member in asked:
                nursery.start_soon(ask, member)
        if problems:
            reasons = dict.fromkeys(reason for _, reason in sorted(problems.items()))  # the same of all, mostly
            numbers = ", ".join(map(str, sorted(problems)))
            raise OSError(f"not every worker can run on it (worker {numbers}): {'; '.join(reasons)}")

    def forget(self) -> None:
        """What was prepared is not to be."""
        for member in self.members:
            if member.serving:
                member.forget()

    async def adopt(self, orders: Orders) -> None:
        """Who cannot after all is ended, and its successor runs on them; so do those that are starting now."""
        before, self.orders = self.orders, orders

        async def tell(member: Member) -> None:
            try:
                await member.adopt(orders)
            except ChannelError as exc:
                self._log.error(
                    "a worker does not adopt what it prepared: ended", worker=member.number, reason=str(exc)
                )
                member.kill()

        async with trio.open_nursery() as nursery:
            for member in self.members:
                if member.serving and member.orders is before:
                    nursery.start_soon(tell, member)

    # --- the end -------------------------------------------------------------------------------------------------

    async def drain(self, settings: Shutdown) -> None:
        """Returns when all have ended; who takes too long is killed."""
        self.ending = True
        self._last.set()
        for member in self.members:
            if member.serving:
                member.channel.tell("drain")
            else:
                member.kill()
        with trio.move_on_after(settings.drain_notice + settings.timeout + _LAST_WORDS):
            await self._gone.wait()
        for member in self.members:
            if member.lives:
                self._log.error("a worker did not end in time: killed", worker=member.number)
                member.kill()
        await self._gone.wait()

    def hurry(self) -> None:
        """As `guardian.lifecycle.Drain.hurry`, everywhere."""
        for member in self.members:
            if member.serving:
                member.channel.tell("hurry")
