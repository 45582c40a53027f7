"""A running group: its devices with their keepers, and what a reload does to them."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

import attrs
import structlog
import trio

from balancer.command import CommandTable
from balancer.deadlines import Deadlines
from balancer.device import Device
from balancer.group import Group
from balancer.pool import DeviceKeeper
from balancer.snapshot import Will
from balancer.transport.reactor import Reactor
from balancer.write import NoJournal
from config import model
from config.catalogue import Catalogue
from config.model import Framing
from health.rota import Rota
from health.tracker import HealthTracker

from .contact import Contact
from .descriptors import Descriptors
from .events import Actor, Events, Kind
from .functions import GroupRules
from .journal import WriteJournal
from .logs import RateLimited
from .workers.board import Place
from .workers.tries import SharedTries

_SHORT_FRAME = 65_535  # what a two-byte length can say
_AFTER_A_FAULT = 1.0  # seconds
_LEAVE_WITHIN = 60.0  # seconds for what is outstanding and pinned on a device that was taken out
# What a group tells that people ask about afterwards; the rest is for the log only.
_EVENTS: Final[Mapping[str, Kind]] = {
    "device health": Kind.DEVICE,
    "device behind": Kind.DEVICE,
    "device equal again": Kind.DEVICE,
    "device unlike": Kind.DEVICE,
    "device alike again": Kind.DEVICE,
    "backups serve": Kind.FAILOVER,
    "primary promoted": Kind.FAILOVER,
    "primary is back": Kind.FAILOVER,
    "write in doubt": Kind.WRITE,
    "login not accepted again": Kind.LOGIN,
}
_RESULTS: Final[Mapping[str, str]] = {"login not accepted again": "replay_refused"}


@attrs.define(eq=False)
class _Kept:
    keeper: DeviceKeeper
    scope: trio.CancelScope
    contact: Contact


class RunningGroup:
    """Devices come and go with the configuration; the group, its queue and its counts stay."""

    def __init__(
        self,
        settings: model.Group,
        catalogue: Catalogue,
        bounds: tuple[float, ...],
        reactor: Reactor,
        nursery: trio.Nursery,
        random: Random,
        descriptors: Descriptors,
        events: Events,
        place: Place | None = None,
    ) -> None:
        """``bounds``: of the histograms, seconds. Keepers run in ``nursery``. ``place``: among other workers."""
        self._log = structlog.get_logger(group=settings.name)
        self._catalogue = catalogue
        self._bounds = bounds
        self._reactor = reactor
        self._nursery = nursery
        self._random = random
        self._events = events
        self._place = place
        self._kept: dict[Device, _Kept] = {}
        self._told: dict[tuple[str, object], RateLimited] = {}
        self.journal: WriteJournal | None = None
        table = CommandTable(catalogue, bounds)
        self.group = Group(settings, table, bounds, reactor.clock, self._tell)
        self.group.pins.may_open = lambda: not descriptors.exhausted
        # A device gets as many pings and checks as from one process; who finds something makes the others look.
        self._rota = Rota() if place is None else Rota(place.number, place.board.count)
        self.group.likeness.rota = self._rota
        if place is not None:
            self.group.sessions.tries = SharedTries(place.board, place.number, settings.name)
        self.deadlines = Deadlines(self.group, reactor.clock())
        self.rules = GroupRules(settings, catalogue, table)

    def _tell(self, event: str, **facts: object) -> None:
        """Once a second for each event of a device: one that comes and goes must not fill the log."""
        kind = _EVENTS.get(event)
        if kind is not None:
            device = facts.get("device")
            what = self.group.name if device is None else f"{self.group.name}/{device}"
            result = str(facts.get("health", _RESULTS.get(event, event)))
            self._events.tell(kind, what, result, detail=_told(facts))
        limit = self._told.setdefault((event, facts.get("device")), RateLimited())
        held_back = limit.admit(self._reactor.clock())
        if held_back is not None:
            self._log.warning(event, held_back=held_back, **facts)

    @property
    def private_connections(self) -> int:
        """Of pinned clients, to all devices."""
        return sum(len(device.private) for device in self.group.devices)

    @property
    def longest_request(self) -> int | None:
        """Bytes that every device's framing can carry; None where there is no such limit."""
        settings = self.group.settings
        framings = {device.framing or settings.framing for device in settings.devices}
        return _SHORT_FRAME if Framing.LENGTH2 in framings else None

    def apply(self, settings: model.Group, catalogue: Catalogue, contacts: Mapping[str, Contact]) -> None:
        """Make it so. ``contacts`` by device name; only devices whose address changed are connected anew."""
        group = self.group
        group.configure(settings)
        if catalogue != self._catalogue:  # then the counts of commands begin anew
            self._catalogue = catalogue
            group.commands = CommandTable(catalogue, self._bounds)
        self.rules = GroupRules(settings, catalogue, group.commands)
        before = {device.name: device for device in group.devices if not device.leaving}
        wanted = {device.name: device for device in settings.devices}
        devices = []
        for name, device in before.items():
            if name not in wanted or wanted[name].address != device.settings.address:
                self._take_out(device)
        for name, device_settings in wanted.items():
            known = before.get(name)
            if known is not None and not known.leaving:
                self._change(known, device_settings, contacts[name])
                devices.append(known)
            else:
                devices.append(self._add(device_settings, contacts[name]))
        group.devices[:] = devices + [device for device in group.devices if device.leaving]
        for device in devices:
            group.changed(device)

    def keep_journal(self, journal: WriteJournal | None) -> None:
        """Write intents down there from now on; None: nowhere."""
        if journal is self.journal:
            return
        former, self.journal = self.journal, journal
        writes = self.group.writes
        if journal is None:
            writes.behind.journal = NoJournal()
        else:
            self._nursery.start_soon(journal.run, self._reactor.flush)
            history = journal.history
            writes.adopt(journal, history.last, dict(history.behind), self._reactor.clock())
        if former is not None:
            former.retire()

    def set_will(self, device: str, will: Will, by: Actor, *, vouched: bool) -> None:
        """Raises LookupError."""
        for known in self.group.devices:
            if known.name == device and not known.leaving:
                self.group.set_will(known, will, vouched=vouched)
                self._log.warning("will of a device changed", device=device, will=will.value, by=by.name)
                self._events.tell(Kind.WILL, f"{self.group.name}/{device}", will.value, by=by)
                self._reactor.flush()
                return
        raise LookupError(f"group {self.group.name} has no device {device}")

    def close(self) -> None:
        """The group was taken out: let go of every device when nothing is outstanding there."""
        for device in self.group.devices:
            if not device.leaving:
                self._take_out(device)
                self.group.changed(device)

    def _add(self, settings: model.Device, contact: Contact) -> Device:
        group = self.group.settings
        random = Random(self._random.random())  # noqa: S311 - for jitter only
        device = Device(settings, HealthTracker(group.ping, group.ejection, random, self._rota), self._bounds)
        keeper = DeviceKeeper(self.group, device, contact.connect, self._reactor, random)
        kept = _Kept(keeper, trio.CancelScope(), contact)
        self._kept[device] = kept
        if self._place is not None:
            self._place.enlist(self.group.name, device)
        self.group.writes.behind.enlist(device, self._reactor.clock())
        self._nursery.start_soon(self._keep, device, kept)
        return device

    async def _keep(self, device: Device, kept: _Kept) -> None:
        """A device's task; a fault of ours in it costs that device its connections, which are then opened anew."""
        try:
            with kept.scope:
                while True:
                    try:
                        await kept.keeper.run()
                    except Exception as exc:  # noqa: BLE001 - the barrier of one device
                        self._tell("a fault of the proxy's own", device=device.name, exc_info=exc)
                        await trio.sleep(_AFTER_A_FAULT)
        finally:
            self._kept.pop(device, None)
            if self._place is not None:
                self._place.release(device)
            if device.leaving and device in self.group.devices:
                self.group.devices.remove(device)

    def _change(self, device: Device, settings: model.Device, contact: Contact) -> None:
        if settings.serial != device.settings.serial or settings.role is not device.settings.role:
            self.group.likeness.recheck(device, self._reactor.clock())
        device.configure(settings)
        device.tracker.configure(self.group.settings.ping, self.group.settings.ejection)
        kept = self._kept.get(device)
        if kept is None:
            return
        kept.keeper.reconnect_with(contact.connect)
        kept.contact = contact
        for upstream in (*device.upstreams, *device.private):
            try:
                contact.recheck(upstream.link.socket)
            except ValueError as exc:
                self._log.warning("device connection no longer trusted", device=device.name, reason=str(exc))
                upstream.close(str(exc))

    def _take_out(self, device: Device) -> None:
        device.leaving = True
        kept = self._kept.get(device)
        if kept is not None:
            self._nursery.start_soon(self._drain, device, kept.scope)

    async def _drain(self, device: Device, scope: trio.CancelScope) -> None:
        with trio.move_on_after(_LEAVE_WITHIN):
            while not device.empty:
                await trio.sleep(0.05)
        scope.cancel()


def _told(facts: Mapping[str, object]) -> str:
    """The facts of an event for people, but for those that it names already."""
    return ", ".join(
        f"{key} {_plain(value)}"
        for key, value in facts.items()
        if key not in ("device", "health") and value not in ("", [])
    )


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
