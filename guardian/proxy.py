"""The whole running proxy: groups, listeners, and how a configuration becomes and replaces them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import TYPE_CHECKING

import structlog
import trio

from balancer.deadlines import EXPIRE_EVERY
from balancer.group import Group
from balancer.histogram import Histogram
from balancer.snapshot import ProxySnapshot, ProxyState, Will
from balancer.transport.reactor import Reactor
from balancer.view import group_snapshot
from config import model
from config.catalogue import Catalogue
from config.expiry import revocation_lists
from config.model import Config

from . import connected
from .audit.trail import AuditTrail
from .completions import Completions
from .connected import ClientView, SessionView
from .descriptors import Descriptors, raise_limit
from .events import Actor, Events
from .groups import RunningGroup
from .intake import Intake
from .journal_file import Owners
from .journals import Journals, Opened, let_go, share
from .lessons import Lessons
from .ready import Ready, make_ready
from .sockets import Offered, OfferedSockets
from .workers.board import Place

if TYPE_CHECKING:
    from .reloading import Reloading

_SWEEP = 1.0  # seconds between looks at all clients
_LISTEN_EVERY = 0.001  # seconds; a look at a journal takes some 5 µs


class Proxy:
    """Start `run` in a nursery, then `apply` the configuration; `apply` again to reload."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        offered: OfferedSockets | None = None,
        owners: Owners | None = None,
        place: Place | None = None,
    ) -> None:
        """``clock``: seconds, monotonic. ``offered``: sockets bound for us; ``owners``: of shared journals.

        ``place``: among other workers that serve the same devices.
        """
        self.state = ProxyState.STARTING
        self.reactor = Reactor(clock, self._handler_failed)
        self._place = place
        self._listen_at = 0.0
        if place is not None:
            self.reactor.look, self.reactor.publish = self._look_around, place.publish
        self._started = time.time()
        self._offered = offered or OfferedSockets()
        self._journals = Journals(owners or Owners(), together=place is not None)
        self._log = structlog.get_logger()
        self.events = Events()
        self.adopters: list[Callable[[Ready], None]] = []  # who else has a part in what a reload makes the running one
        self._random = Random()  # noqa: S311 - for jitter only
        self._groups: dict[str, RunningGroup] = {}
        self._former: list[RunningGroup] = []  # taken out, with devices that still have something outstanding
        self.config: Config
        self.reloading: Reloading | None = None  # set by whoever knows the file
        self.certificates: Mapping[str, float] = {}  # file -> when it, or its CRL, ends, Unix time
        self._lists: frozenset[str] = frozenset()
        self._loop_delay: Histogram | None = None  # known with the first configuration
        self.lines_dropped: Callable[[], int] = lambda: 0  # of the log, which is not ours
        self.reloads = {"ok": 0, "failed": 0}
        self.completions = Completions(self._running_groups, clock)
        self.lessons = Lessons(clock, self._running_groups, self.completions)
        self._descriptors = Descriptors(raise_limit(), self._private_connections)
        self.intake = Intake(self.reactor, self._random, self._descriptors, self.events, self._offered, place)
        self.audit = AuditTrail(self.events, self._refuse_writes)
        self._told_to_refuse = False
        self._keepers: trio.Nursery

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then clients and devices are let go of at once. `drain` comes before, not here."""
        try:
            async with trio.open_nursery() as core:
                core.start_soon(self.reactor.run)
                core.start_soon(self._tick)
                core.start_soon(self._sweep)
                core.start_soon(self.lessons.run)
                core.start_soon(self.audit.run)
                async with trio.open_nursery() as self._keepers:
                    await self.intake.run(task_status=task_status)
        finally:
            self.intake.close_clients()
            self.reactor.close()
            self.audit.close()

    def apply(self, config: Config, catalogue: Catalogue) -> None:
        """Read what the configuration names, and `adopt` it; blocks meanwhile. Raises `CredentialError` or OSError."""
        self.adopt(make_ready(config, catalogue))

    def adopt(self, ready: Ready) -> None:
        """Make the configuration the running one; what it does not change goes on untouched.

        What can still fail, journals and listening sockets, comes first. Raises OSError, and then nothing has changed.
        """
        config, catalogue, sides = ready.config, ready.catalogue, ready.sides
        audit_file = ready.audit.file or self.audit.open(ready.audit)
        groups = {
            settings.name: self._groups.get(settings.name) or self._new_group(config, settings, catalogue)
            for settings in config.groups
        }
        journals: Opened = {}
        try:
            journals = self._journals.of(config, self._groups)
            bound = self.intake.bind(config, groups, sides)
        except OSError:
            let_go(journals, self._groups)
            if audit_file is not None:
                audit_file.close()
            raise
        # From here on nothing fails.
        for adopter in self.adopters:
            adopter(ready)
        self.audit.adopt(ready.audit, audit_file)
        for settings in config.groups:
            groups[settings.name].keep_journal(journals[settings.name])
            groups[settings.name].apply(settings, catalogue, ready.contacts[settings.name])
        for name, running in self._groups.items():
            if name not in groups:
                running.close()
                self._former.append(running)
        self._groups = groups
        self._refuse_writes(self.audit.refusing)
        self.completions.regroup()
        self.intake.adopt(bound, config, groups, sides)
        self._descriptors.reserve(_for_devices(config))
        self.certificates = ready.certificates
        self._lists = revocation_lists(config)
        self._loop_delay = self._loop_delay or Histogram(config.admin.buckets)
        self.config = config

    def _new_group(self, config: Config, settings: model.Group, catalogue: Catalogue) -> RunningGroup:
        bounds = config.admin.buckets
        return RunningGroup(
            settings,
            catalogue,
            bounds,
            self.reactor,
            self._keepers,
            self._random,
            self._descriptors,
            self.events,
            self._place,
        )

    def share_writes(self) -> Owners:
        """From now on other processes may write to the same devices, each in its turn; gives what they need for it.

        Raises OSError.
        """
        return share(self._groups)

    def snapshot(self) -> ProxySnapshot:
        wall_minus_clock = self._wall_minus_clock
        return ProxySnapshot(
            state=self.state,
            started=self._started,
            groups=tuple(group_snapshot(running.group, wall_minus_clock) for running in self._groups.values()),
            listeners=self.intake.snapshot(),
            certificates=dict(self.certificates),
            reloads=dict(self.reloads),
            revocation_lists=self._lists,
            loop_delay=None if self._loop_delay is None else self._loop_delay.snapshot(),
            lines_dropped=self.lines_dropped(),
            audit=self.audit.snapshot(),
        )

    async def refresh(self) -> None:
        """`snapshot` always shows what is so now."""
        await trio.lowlevel.checkpoint()

    def _running_groups(self) -> Mapping[str, Group]:
        return {name: running.group for name, running in self._groups.items()}

    def refuse_writes(self, refuse: bool) -> None:
        """For whoever keeps the audit record in our place."""
        self._told_to_refuse = refuse
        self._refuse_writes(self.audit.refusing)

    def _refuse_writes(self, refuse: bool) -> None:
        for running in (*self._groups.values(), *self._former):
            running.group.refuses_writes = refuse or self._told_to_refuse

    async def clients_now(self) -> list[ClientView]:
        return await connected.clients(self.intake.all, self._wall_minus_clock)

    async def sessions_now(self) -> list[SessionView]:
        groups = [running.group for running in (*self._groups.values(), *self._former)]
        return await connected.sessions(groups, self.intake.all, self._wall_minus_clock)

    @property
    def _wall_minus_clock(self) -> float:
        """What turns the clock's seconds into Unix time."""
        return time.time() - self.reactor.clock()

    def _private_connections(self) -> int:
        return sum(running.private_connections for running in (*self._groups.values(), *self._former))

    def set_will(self, group: str, device: str, will: Will, by: Actor, *, vouched: bool = True) -> None:
        """``vouched``: whether who says ready has seen the device. Raises LookupError, naming what does not exist."""
        if group not in self._groups:
            raise LookupError(f"there is no group {group}")
        self._groups[group].set_will(device, will, by, vouched=vouched)

    @property
    def devices(self) -> list[Group]:
        """The groups, as they balance."""
        return [running.group for running in self._groups.values()]

    @property
    def in_service(self) -> list[tuple[str, int, int]]:
        """Of each group: its name, how many devices serve now, and how many it has."""
        found = []
        for name, running in self._groups.items():
            devices = [device for device in running.group.devices if not device.leaving]
            found.append((name, sum(device.serving for device in devices), len(devices)))
        return found

    @property
    def owed(self) -> int:
        """How many clients wait for an answer, and groups for the end of a write."""
        writing = sum(running.group.writes.writing for running in (*self._groups.values(), *self._former))
        return writing + self.intake.owed

    def offer(self, sockets: Iterable[Offered], owners: Owners) -> None:
        """What the next configuration may take, bound and opened by another process."""
        self._offered.add(sockets)
        self._journals.offer(owners)

    def withdraw(self) -> None:
        """What was offered and not taken is closed."""
        self._offered.close()
        self._journals.withdraw()

    async def _tick(self) -> None:
        clock = self.reactor.clock
        step = EXPIRE_EVERY
        while True:
            due = clock() + step
            await trio.sleep(step)
            now = clock()
            if self._loop_delay is not None:
                self._loop_delay.record(max(now - due, 0.0))
            step = EXPIRE_EVERY
            for running in (*self._groups.values(), *self._former):
                try:
                    step = min(step, running.deadlines.look(now))
                except Exception as exc:  # noqa: BLE001 - the barrier: time must go on for the others
                    self._handler_failed(exc)
            try:
                self.intake.expire(now)
            except Exception as exc:  # noqa: BLE001 - the barrier: as above
                self._handler_failed(exc)
            self.reactor.flush()

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(_SWEEP)
            if self._loop_delay is not None:
                self._loop_delay.fold()
            self.intake.sweep(self.reactor.clock())
            for running in self._former:
                if not running.group.devices:
                    running.keep_journal(None)
            self._former = [running for running in self._former if running.group.devices]
            self.reactor.flush()

    def _look_around(self) -> None:
        """What other workers do, before requests are handled: where one has fallen behind, nobody is to read there."""
        assert self._place is not None, "there are others"
        self._place.glance()
        now = self.reactor.clock()
        if now < self._listen_at:
            return
        self._listen_at = now + _LISTEN_EVERY
        for running in self._groups.values():
            try:
                running.group.writes.behind.listen()
            except Exception as exc:  # noqa: BLE001 - the barrier: as in a tick
                self._handler_failed(exc)

    def _handler_failed(self, exc: BaseException) -> None:
        self._log.error("a fault of the proxy's own: a connection is given up", exc_info=exc)


def _for_devices(config: Config) -> int:
    """Descriptors that connections to devices may take."""
    return sum(device.connections + 2 for group in config.groups for device in group.devices)
