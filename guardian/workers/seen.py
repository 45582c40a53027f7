"""A worker's side of what is seen and steered: it answers for itself, and tells what happens."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
import trio

from balancer.snapshot import Will
from guardian.events import Actor, Event, Kind
from guardian.tailing import Tail, Wanted

from .channel import Channel, ChannelError
from .learned import learned
from .messages import SMALL, Shown, packed, packed_learned, packed_list, size
from .sums import completion_number

if TYPE_CHECKING:
    from guardian.proxy import Proxy

_MOST: Final = 200  # lines of one message: what is encoded while nobody else can run
_PAUSE: Final = 0.05  # seconds between two messages
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Seen:
    """Make it before the channel runs. ``number``: the worker's, from 1."""

    def __init__(self, proxy: Proxy, channel: Channel, number: int) -> None:
        self._proxy = proxy
        self._channel = channel
        self._number = number
        self._tails: dict[int, tuple[Tail, trio.CancelScope]] = {}
        self._nursery: trio.Nursery | None = None
        self._log = structlog.get_logger()
        channel.answer_with("snapshot", self._snapshot)
        channel.answer_with("clients", self._clients)
        channel.answer_with("sessions", self._sessions)
        channel.hear("will", self._will)
        channel.hear("refuse_writes", self._refuse_writes)
        channel.hear("tail", self._tail)
        channel.hear("end_tail", self._end_tail)
        channel.hear("learn", self._learn)
        channel.answer_with("lesson", self._lesson)
        channel.answer_with("learned", self._learned)
        proxy.events.subscribe(self._event)

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await trio.sleep_forever()

    async def last_words(self) -> None:
        """All that was counted, before this process ends; nothing happens where nobody hears it any more."""
        try:
            await self._channel.ask("last_words", shown=await self._snapshot())
        except ChannelError as exc:
            self._log.warning("what was counted last is not known to the supervisor", reason=str(exc))

    # --- asked -------------------------------------------------------------------------------------------------------

    async def _snapshot(self) -> bytes:
        began = time.thread_time()
        snapshot = self._proxy.snapshot()
        held_up = time.thread_time() - began
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu = usage.ru_utime + usage.ru_stime
        shown = Shown(snapshot=snapshot, cpu=cpu, memory=_resident(), held_up=held_up)
        if size(snapshot) <= SMALL:
            return packed(shown)
        return await trio.to_thread.run_sync(lambda: packed(shown, unhurried=True))

    async def _clients(self) -> bytes:
        found = await self._proxy.clients_now()
        return await trio.to_thread.run_sync(packed_list, found)

    async def _sessions(self) -> bytes:
        found = await self._proxy.sessions_now()
        return await trio.to_thread.run_sync(packed_list, found)

    # --- told --------------------------------------------------------------------------------------------------------

    def _will(self, group: str, device: str, will: str, by: Mapping[str, str]) -> None:
        try:
            self._proxy.set_will(group, device, Will(will), Actor(**by))
        except LookupError as exc:  # a reload takes it out at this moment
            self._log.warning("a will was not heard", reason=str(exc.args[0]))

    def _refuse_writes(self, *, refuse: bool) -> None:
        self._proxy.refuse_writes(refuse)

    def _event(self, event: Event) -> None:
        if event.kind is not Kind.WILL:  # which the supervisor tells once, for all of us
            self._channel.tell("event", event=event)

    # --- learning ----------------------------------------------------------------------------------------------------

    def _learn(self, group: str | None, seconds: float) -> None:
        self._proxy.lessons.stop()  # of a supervisor that did not ask for it any more
        try:
            self._proxy.lessons.start(group, seconds)
        except LookupError as exc:  # a reload takes it out at this moment
            self._log.warning("nothing is learned", reason=str(exc.args[0]))

    async def _lesson(self) -> int:
        """Requests so far."""
        return sum(each.requests for each in self._proxy.lessons.learned.values())

    async def _learned(self) -> bytes:
        lessons = self._proxy.lessons
        lessons.stop()
        parts = [learned(group, learning) for group, learning in lessons.learned.items()]
        return await trio.to_thread.run_sync(packed_learned, parts)

    # --- tails -------------------------------------------------------------------------------------------------------

    def _tail(self, number: int, wanted: Any) -> None:
        if self._nursery is not None and number not in self._tails:
            self._nursery.start_soon(self._tell_lines, number, msgspec.convert(wanted, Wanted))

    def _end_tail(self, number: int) -> None:
        if number in self._tails:
            self._tails[number][1].cancel()

    async def _tell_lines(self, number: int, wanted: Wanted) -> None:
        """Until nobody looks on any more. The next lines go out when the last ones were taken."""
        woken = trio.Event()

        def wake() -> None:
            woken.set()

        tail = self._proxy.completions.tail(wanted, wake)
        with trio.CancelScope() as scope:
            self._tails[number] = tail, scope
            try:
                while True:
                    await woken.wait()
                    woken = trio.Event()
                    lines, lost = tail.take(_MOST)
                    if len(lines) == _MOST:
                        woken.set()  # there may be more
                    own = [line._replace(completion=completion_number(line.completion, self._number)) for line in lines]
                    if not await self._channel.ask("lines", number=number, lines=own, lost=lost):
                        return
                    await trio.sleep(0 if len(lines) == _MOST else _PAUSE)
            except ChannelError:
                pass  # who looked on is gone with the supervisor
            finally:
                tail.end()
                del self._tails[number]


def _resident() -> int:
    try:
        with open("/proc/self/statm", "rb") as found:
            return int(found.read().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):  # no such file system here
        return 0
