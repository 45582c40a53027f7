"""All workers as one proxy, for the operator's tools: the supervisor's `Operable`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import msgspec
import structlog
import trio

from balancer.snapshot import ProxySnapshot, ProxyState, Will, WorkerSnapshot
from config.expiry import revocation_lists
from config.model import Config
from guardian.audit.trail import AuditTrail
from guardian.connected import ClientView, SessionView
from guardian.events import Actor, Event, Events, Kind

from .channel import Channel, ChannelError
from .lessons import WholeLessons
from .merge import joined, merged, remains, serves_as_well
from .messages import BIG, SMALL, Shown, size, unpacked, unpacked_list
from .tails import Tails

if TYPE_CHECKING:
    from guardian.ready import Ready
    from guardian.reloading import Reloading

T = TypeVar("T")

FRESH: Final = 0.2  # seconds: workers are asked five times a second at most
_WATCHED: Final = 1.0  # seconds for which it is kept fresh after somebody has looked
_UNWATCHED: Final = 1.0  # seconds: what a worker that is killed has counted since it was asked is lost
_SHARE: Final = 100.0  # times as long as that holds a worker up, until it is asked again while nobody looks
_PATIENCE: Final = 2.0  # seconds; who has not answered by then is shown as it was
_FIT_WITHIN: Final = 5.0  # seconds that a new worker may take until it serves as well as the others
_FIT_LOOK: Final = 0.05
_NOTHING: Final = ProxySnapshot(
    state=ProxyState.STARTING, started=0.0, groups=(), listeners=(), certificates={}, reloads={}
)


@attrs.define(eq=False)
class _Worker:
    number: int
    channel: Channel | None = None  # None: it does not run
    pid: int = 0
    started: float = 0.0
    starts: int = 0
    shown: Shown | None = None  # the last that it has shown

    def snapshot(self) -> WorkerSnapshot:
        shown = self.shown
        groups = shown.snapshot.groups if shown else ()
        listeners = shown.snapshot.listeners if shown else ()
        return WorkerSnapshot(
            number=self.number,
            up=self.channel is not None,
            pid=self.pid,
            started=self.started,
            restarts=max(self.starts - 1, 0),
            connections=sum(sum(listener.connections.values()) for listener in listeners),
            outstanding=sum(device.outstanding for group in groups for device in group.devices),
            requests=sum(count for group in groups for each in group.commands for count in each.outcomes.values()),
            cpu=shown.cpu if shown else 0.0,
            memory=shown.memory if shown else 0,
        )


class Whole:
    """Run `run` in a task. `welcome` and `farewell` as workers come and go; the supervisor sets what it alone knows."""

    def __init__(self, count: int) -> None:
        """``count``: of workers."""
        self.events = Events()
        self.audit = AuditTrail(self.events, self.refuse_writes)
        self.state = ProxyState.STARTING
        self.adopters: list[Callable[[Ready], None]] = []
        self.config: Config
        self.reloading: Reloading | None = None
        self.certificates: Mapping[str, float] = {}  # file -> when it, or its CRL, ends, Unix time
        self._lists: frozenset[str] = frozenset()  # those of them that are CRLs
        self.reloads = {"ok": 0, "failed": 0}
        self.lines_dropped: Callable[[], int] = lambda: 0  # of the supervisor's own log
        self.completions = Tails(lambda: self._channels().values())
        self.lessons = WholeLessons(self._channels, lambda: [group.name for group in self.config.groups])
        self._started = time.time()
        self._workers = {number: _Worker(number) for number in range(1, count + 1)}
        self._former: ProxySnapshot | None = None  # what those that have ended had counted
        self._merged: ProxySnapshot | None = None
        self._wills: dict[tuple[str, str], tuple[Will, Actor]] = {}  # other than ready
        self._refusing = False
        self._turn = trio.Lock()
        self._asked_at = float("-inf")  # when workers were last asked
        self._looked_at = float("-inf")  # when somebody wanted to see
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Keep the record, and what is shown fresh while somebody looks and not too old while nobody does.

        Until cancelled; then what is recorded is written.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.audit.run)
                nursery.start_soon(self.lessons.run)
                while True:
                    await trio.sleep(FRESH)
                    now = trio.current_time()
                    watched = now - self._looked_at < _WATCHED
                    if watched or now - self._asked_at >= max(_UNWATCHED, _SHARE * self._held_up):
                        await self._look(now - FRESH / 2)
        finally:
            self.audit.close()

    # --- workers -----------------------------------------------------------------------------------------------------

    def introduce(self, number: int, channel: Channel) -> None:
        """A worker is started. Before its channel runs."""
        worker = self._workers[number]

        def event(event: Any) -> None:
            self.events.pass_on(msgspec.convert(event, Event), number)

        async def last_words(shown: bytes) -> None:
            await self._take(worker, channel, shown)

        channel.hear("event", event)
        channel.answer_with("last_words", last_words)
        self.completions.introduce(channel)

    async def welcome(self, number: int, channel: Channel, pid: int) -> None:
        """It has made its configuration the running one, and does not let clients in yet.

        When this returns it has heard what the others have, and has in service what they have, or has found out why
        not: who came sooner would be told that there is no device. Raises ChannelError.
        """
        worker = self._workers[number]
        worker.channel, worker.pid, worker.started, worker.shown = channel, pid, time.time(), None
        worker.starts += 1
        self.completions.welcome(channel)
        self.lessons.welcome(channel)
        channel.tell("refuse_writes", refuse=self._refusing)
        for (group, device), (will, by) in self._wills.items():
            channel.tell("will", group=group, device=device, will=will, by=by)
        with trio.move_on_after(_FIT_WITHIN):
            while True:
                await self._take(worker, channel, await channel.ask("snapshot", of=bytes))
                others = [part for other, part in self._parts().items() if other != number]
                if worker.shown is None or serves_as_well(worker.shown.snapshot, others):
                    break
                await trio.sleep(_FIT_LOOK)
        await self._merge()

    def farewell(self, number: int) -> None:
        """It is gone; what it had counted, as far as it has said so, goes on being counted."""
        worker = self._workers[number]
        worker.channel = None
        if worker.shown is not None:
            self._former = joined(self._former, remains(worker.shown.snapshot, number))
            worker.shown = None
        self._merged = self._sum()

    def _channels(self) -> dict[int, Channel]:
        return {number: worker.channel for number, worker in self._workers.items() if worker.channel is not None}

    @property
    def _held_up(self) -> float:
        """Seconds that making its last snapshot took the worker that it takes longest."""
        return max((worker.shown.held_up for worker in self._workers.values() if worker.shown is not None), default=0.0)

    # --- what is shown -----------------------------------------------------------------------------------------------

    def snapshot(self) -> ProxySnapshot:
        self._looked_at = trio.current_time()
        return self.known()

    def known(self) -> ProxySnapshot:
        """The same, as far as it is known anyway: nobody is asked more often for it."""
        whole = self._merged or _NOTHING
        return attrs.evolve(
            whole,
            state=self.state,
            started=self._started,
            certificates=dict(self.certificates),
            reloads=dict(self.reloads),
            revocation_lists=self._lists,
            lines_dropped=whole.lines_dropped + self.lines_dropped(),
            audit=self.audit.snapshot(),
            workers=tuple(worker.snapshot() for worker in self._workers.values()),
        )

    async def refresh(self) -> None:
        self._looked_at = trio.current_time()
        await self._look(self._looked_at - FRESH)

    async def _look(self, wanted: float) -> None:
        """Ask all, unless somebody has after ``wanted``; then wait for what came of that."""
        async with self._turn:
            if self._asked_at > wanted:
                return
            self._asked_at = trio.current_time()
            async with trio.open_nursery() as nursery:
                for worker in self._workers.values():
                    if worker.channel is not None:
                        nursery.start_soon(self._ask, worker)
            await self._merge()

    async def _ask(self, worker: _Worker) -> None:
        channel = worker.channel
        if channel is None:
            return
        try:
            shown = await channel.ask("snapshot", of=bytes, timeout=_PATIENCE)
        except ChannelError as exc:
            self._log.debug("a worker does not say what it does", worker=worker.number, reason=str(exc))
            return
        await self._take(worker, channel, shown)

    async def _take(self, worker: _Worker, channel: Channel, data: bytes) -> None:
        """Unless it has ended meanwhile: then its last snapshot is counted already."""
        shown = unpacked(data) if len(data) < BIG else await trio.to_thread.run_sync(unpacked, data)
        if worker.channel is channel:
            worker.shown = shown

    async def _merge(self) -> None:
        parts = self._parts()
        if sum(size(part) for part in parts.values()) <= SMALL:
            self._merged = self._sum()
            return
        former = self._former
        found = await trio.to_thread.run_sync(lambda: merged(parts, former) if parts or former else None)
        if self._former is former:  # else a worker has ended meanwhile, and was merged then
            self._merged = found

    def _sum(self) -> ProxySnapshot | None:
        parts = self._parts()
        return merged(parts, self._former) if parts or self._former else None

    def _parts(self) -> dict[int, ProxySnapshot]:
        return {number: worker.shown.snapshot for number, worker in self._workers.items() if worker.shown is not None}

    async def clients_now(self) -> list[ClientView]:
        return await self._of_all("clients", ClientView)

    async def sessions_now(self) -> list[SessionView]:
        return await self._of_all("sessions", SessionView)

    async def _of_all(self, question: str, kind: type[T]) -> list[T]:
        found: list[T] = []

        async def ask(channel: Channel) -> None:
            try:
                data = await channel.ask(question, of=bytes)
            except ChannelError:
                return  # its clients are gone with it
            found.extend(await trio.to_thread.run_sync(unpacked_list, data, kind))

        async with trio.open_nursery() as nursery:
            for channel in self._channels().values():
                nursery.start_soon(ask, channel)
        return found

    # --- what is wanted ----------------------------------------------------------------------------------------------

    def set_will(self, group: str, device: str, will: Will, by: Actor) -> None:
        """To all workers, and to those that start later. Raises LookupError, naming what does not exist."""
        names = {known.name: [each.name for each in known.devices] for known in self.config.groups}
        if group not in names:
            raise LookupError(f"there is no group {group}")
        if device not in names[group]:
            raise LookupError(f"group {group} has no device {device}")
        self._wills.pop((group, device), None)
        if will is not Will.READY:
            self._wills[group, device] = will, by
        for channel in self._channels().values():
            channel.tell("will", group=group, device=device, will=will, by=by)
        self.events.tell(Kind.WILL, f"{group}/{device}", will.value, by=by)
        self._asked_at = float("-inf")  # who looks now wants to see it

    def adopt(self, ready: Ready) -> None:
        """What workers have made the running configuration, or are about to. Raises OSError before anything changed.

        What an operator wants of a device that it does not have any more is forgotten.
        """
        audit_file = ready.audit.file or self.audit.open(ready.audit)
        for adopter in self.adopters:
            adopter(ready)
        self.audit.adopt(ready.audit, audit_file)
        if self._wills:
            before, now = _addresses(self.config), _addresses(ready.config)
            self._wills = {place: will for place, will in self._wills.items() if before[place] == now.get(place)}
        self.config = ready.config
        self.certificates = ready.certificates
        self._lists = revocation_lists(ready.config)
        self._asked_at = float("-inf")  # who looks now wants to see it

    def refuse_writes(self, refuse: bool) -> None:
        """Whether commands that may change a device are refused, since they could not be recorded."""
        self._refusing = refuse
        for channel in self._channels().values():
            channel.tell("refuse_writes", refuse=refuse)


def _addresses(config: Config) -> dict[tuple[str, str], str]:
    """A device at another address is another device."""
    return {(group.name, device.name): str(device.address) for group in config.groups for device in group.devices}
