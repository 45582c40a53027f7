"""Asks a device, and its reference where needed, what shows whether they are alike: the trio side of `likeness`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from random import Random
from typing import Final

import trio

from config.model import Probe
from health.checker import Alarm, PingFailed
from health.drift import Comparison, Portrait, Sketch, compare, sketch, wrong_serial
from health.state import Health

from .device import Device
from .group import Group
from .snapshot import Will
from .wire.message import is_error

_SALT: Final = secrets.token_bytes(16)  # of digests: they mean nothing outside this process
_JITTER: Final = 0.1
_PAUSE: Final = 1.0  # seconds between two checks of a device that serves, however often somebody asks for one
_SHORT_PAUSE: Final = 0.1  # the same for one that waits for it
_TRIES: Final = 5  # to find a moment without writes
_QUIET_LOOK: Final = 0.01  # seconds between looks whether the writes are done


class _Torn(Exception):  # noqa: N818 - named for what happened
    """A write came between the answers that were to be compared."""


class Prober:
    """Run `run` in a nursery for as long as the device is kept; ``ask`` is its keeper's."""

    def __init__(
        self, group: Group, device: Device, clock: Callable[[], float], changed: Callable[[], None], random: Random
    ) -> None:
        """``changed`` is called after each check."""
        self._group = group
        self._device = device
        self._clock = clock
        self._changed = changed
        self._random = random
        self._alarm = Alarm()

    def wake(self) -> None:
        """Something changed: see whether it is time."""
        self._alarm.ring()

    async def run(self) -> None:
        """Check for ever."""
        while True:
            await self._until_due()
            await self._check()
            known = self._device.likeness
            ahead = min(known.due - self._clock(), self._group.settings.identity.interval)
            known.due += ahead * _JITTER * (2.0 * self._random.random() - 1.0)
            self._changed()
            await trio.sleep(_SHORT_PAUSE if known.held else _PAUSE)

    async def _until_due(self) -> None:
        while True:
            wait = self._device.likeness.due - self._clock()
            if not self._group.likeness.active or not self._reachable():
                wait = float("inf")  # whatever changes that wakes us
            elif wait <= 0:
                return
            await self._alarm.wait(wait)

    def _reachable(self) -> bool:
        device = self._device
        silent = device.health in (Health.UNKNOWN, Health.DOWN) or device.will is Will.MAINT or device.leaving
        return bool(device.upstreams) and not silent

    async def _check(self) -> None:
        likeness, device = self._group.likeness, self._device
        device.likeness.due = float("inf")  # who asks for a check from here on gets another
        try:
            portrait, comparison = await self._compared()
        except PingFailed as exc:
            likeness.failed(device, str(exc), self._clock())
        else:
            asked_again = device.likeness.due
            likeness.judge(device, portrait, comparison, self._clock())
            device.likeness.due = min(device.likeness.due, asked_again)
        finally:  # not before it is judged: what is written from here on comes after what was compared
            self._group.writes.rest.end(self, self._clock())

    async def _compared(self) -> tuple[Portrait, Comparison | None]:
        """What it showed, and what came of it. Raises PingFailed."""
        likeness, device = self._group.likeness, self._device
        [portrait] = await self._portraits(device)
        comparison = likeness.settled_by(device, portrait)
        if comparison is not None:
            return portrait, comparison
        reference = likeness.reference_for(device)
        if reference is None:
            return portrait, likeness.without_reference(portrait)
        theirs, ours = await self._portraits(reference, device)
        if not likeness.vouches_for(reference):  # whoever was asked again in its name may have lost its keys
            raise PingFailed(f"{reference.name}, which it is compared with, was lost or found unlike meanwhile")
        likeness.showed(reference, theirs, self._clock())
        return ours, compare(ours, theirs)

    async def _portraits(self, *devices: Device) -> list[Portrait]:
        """What they show at one moment: no write of the group begins, goes on or ends meanwhile. Raises PingFailed."""
        group = self._group
        for _ in range(_TRIES):
            await self._quiet()
            writes = group.writes.done
            breaks = [device.likeness.breaks for device in devices]
            try:
                portraits = [await self._portrait(device, writes) for device in devices]
            except _Torn:
                continue
            if [device.likeness.breaks for device in devices] != breaks:
                continue  # what was shown before says nothing of who is there now
            if not portraits[0].key_tables or self._undisturbed(writes):
                return portraits
        raise PingFailed("writes, or losses of all connections, never paused for long enough")

    async def _portrait(self, device: Device, writes: int) -> Portrait:
        """Ask it everything once. Raises PingFailed, or `_Torn` where its key table may be in the middle of a write."""
        settings = self._group.settings
        shown: dict[Probe, Sketch] = {}
        for probe in settings.probes:
            if probe.shows_key_table and not self._undisturbed(writes):
                raise _Torn
            shown[probe] = sketch(await self._answer(device, probe.request), probe, _SALT)
        pin, serial = settings.identity.pin, device.settings.serial
        if pin is None or serial is None:
            return Portrait(shown, writes)
        return Portrait(shown, writes, wrong_serial(await self._answer(device, pin.request), pin, serial, _SALT))

    async def _answer(self, device: Device, request: str) -> bytes:
        """Raises PingFailed, also for an answer that is an error: it shows nothing of the device."""
        ask, code = device.likeness.ask, request[3:7]
        who = "" if device is self._device else f" by {device.name}"
        if ask is None:
            raise PingFailed(f"{code} could not be asked{who}")
        try:
            answer = await ask(request.encode(), self._group.settings.identity.timeout)
        except PingFailed as exc:
            raise PingFailed(f"{code} was not answered{who}: {exc}") from exc
        if is_error(answer):
            raise PingFailed(f"{code} was answered with an error{who}")
        return answer

    def _undisturbed(self, writes: int) -> bool:
        return not self._group.writes.under_way and self._group.writes.done == writes

    def _at_rest(self) -> bool:
        writes, device = self._group.writes, self._device
        if device.likeness.held or device.tracker.is_behind:
            return writes.rest.ask(self, self._clock(), self._group.settings.queue.timeout)
        return not writes.under_way

    async def _quiet(self) -> None:
        """Until no write is under way. Raises PingFailed where that takes too long.

        For a device that waits to be shown alike, and would miss every write meanwhile, writes rest for a moment.
        """
        if not any(probe.shows_key_table for probe in self._group.settings.probes):
            return
        with trio.move_on_after(self._group.settings.identity.timeout):
            while not self._at_rest():
                await trio.sleep(_QUIET_LOOK)
            return
        raise PingFailed("a write was under way all the time")
