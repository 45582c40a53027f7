"""Whether the devices of a group are alike: what is believed of each, and what follows. Pure.

Who asks the devices is `probing`; what is compared is `health.drift`. docs/likeness.md tells it to people.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from config.catalogue import Effect
from config.model import Group, LikenessAction, Role
from health.drift import Comparison, Difference, Portrait, compare
from health.rota import Rota
from health.state import Health

from .snapshot import Likeness, LikenessSnapshot, Will

if TYPE_CHECKING:
    from .device import Device
    from .exchange import Exchange

Ask = Callable[[bytes, float], Awaitable[bytes]]  # ask(request, timeout in seconds): the answer, or raises PingFailed
Tell = Callable[..., None]  # tell(event, **facts): something an operator wants to know; never a field value

_SOON: Final = 1.0  # seconds until a check that failed is repeated; doubles up to the interval
_UNLIKE: Final = 0.25  # of the interval: a device that is not alike may be mended at any moment
_NEVER: Final = float("inf")


class DeviceLikeness:
    """What is known of one device. Its points in time are seconds of the reactor's clock."""

    def __init__(self) -> None:
        self.state = Likeness.UNKNOWN
        self.held = False  # serves nothing before it was shown alike
        self.differences: tuple[Difference, ...] = ()
        self.checked_at: float | None = None  # the last time that something could be said
        self.due = _NEVER  # when to look again
        self.vouched = False  # the operator says that it is as it should be
        self.trouble = ""  # why it could not be checked
        self.failures = 0  # checks in a row that said nothing
        self.breaks = 0  # times that whoever was connected next may have been another, or without its keys
        self.results: dict[str, int] = {}  # checks by what came of them
        self.wake: Callable[[], None] = _nobody_looks
        self.ask: Ask | None = None
        self._told = False  # that it is unlike

    @property
    def note(self) -> str:
        """For people; empty where there is nothing to say."""
        if self.state is Likeness.UNLIKE:
            return f"unlike its group: {', '.join(difference.field for difference in self.differences)}"
        if self.held:
            return "not yet shown to be like its group" + (f": {self.trouble}" if self.trouble else "")
        return ""

    def ended(self, result: str, *, again_in: float, now: float) -> None:
        """A check ended so; look again in so many seconds."""
        self.results[result] = self.results.get(result, 0) + 1
        self.failures = self.failures + 1 if result in ("failed", "unknown") else 0
        self.due = now + again_in

    def tell_once(self) -> bool:
        """Whether that it is unlike was not told yet; from now on it is."""
        told, self._told = self._told, True
        return not told

    def untell(self) -> bool:
        """Whether that it was unlike was told; from now on it is not."""
        told, self._told = self._told, False
        return told

    def snapshot(self, wall_minus_clock: float) -> LikenessSnapshot:
        return LikenessSnapshot(
            state=self.state,
            checked_at=None if self.checked_at is None else self.checked_at + wall_minus_clock,
            differs=tuple(str(difference) for difference in self.differences),
            results=dict(self.results),
        )


class GroupLikeness:
    """Judges the portraits of a group's devices.

    The primary is the reference, as long as nothing speaks against it. While it is away, or came back as another, the
    first device that is still known to be like it stands in; where there is none, what was last seen of a device that
    was alike (`kept`), as far as no write came after it.
    """

    def __init__(self, settings: Group, devices: list[Device], tell: Tell) -> None:
        """``devices``: the group's own list, which changes with it."""
        self.settings = settings
        self.devices = devices
        self.rota = Rota()  # among other processes that check the same devices
        self.kept: Portrait | None = None
        self._tell = tell

    @property
    def active(self) -> bool:
        """Whether there is anything to ask."""
        return bool(self.settings.probes) or self.settings.identity.pin is not None

    @property
    def enforced(self) -> bool:
        return self.active and self.settings.identity.action is LikenessAction.ENFORCE

    def configure(self, settings: Group, now: float) -> None:
        """Take new settings. What was shown so far stays shown; all are looked at again."""
        before, self.settings = self.settings, settings
        if (settings.identity, settings.probes) == (before.identity, before.probes):
            return
        if settings.probes != before.probes:
            self.kept = None
        for device in self.devices:
            known = device.likeness
            if not self.enforced:
                known.held = False
                device.tracker.shown_alike(now)
            elif known.state is Likeness.UNKNOWN:
                known.held = True
            elif known.state is Likeness.UNLIKE:
                device.tracker.unlike(known.note, now)
            if not self.active:
                known.state, known.differences, known.checked_at = Likeness.UNKNOWN, (), None
            self.recheck(device, now)

    def enlist(self, device: Device, wake: Callable[[], None], ask: Ask, now: float) -> None:
        """A device has come to the group. ``wake`` makes its prober look; ``ask`` sends it a request of our own."""
        known = device.likeness
        known.wake, known.ask = wake, ask
        known.held = self.enforced
        known.due = now

    def recheck(self, device: Device, now: float) -> None:
        """Look as soon as can be: there is a reason to believe that it changed."""
        device.likeness.due = min(device.likeness.due, now)
        device.likeness.wake()

    def fell_behind(self, device: Device, reason: str, now: float) -> None:
        """It missed or refused a write: unsafe until it is shown equal. The caller tells the group (`changed`)."""
        device.tracker.behind(reason, now)
        self.recheck(device, now)

    def owner_was_answered(self, device: Device, exchange: Exchange, now: float) -> None:
        """A request on a connection of one owner was answered; a pinned client's write ran on this device alone."""
        if exchange.command.effect is Effect.WRITE and not exchange.bound:
            self.recheck(device, now)

    def lost_connection(self, device: Device, now: float) -> None:
        """Without any, whoever is connected next may have lost its keys, or be another device."""
        if device.upstreams or device.private:
            return
        known = device.likeness
        if known.state is Likeness.ALIKE:
            known.state = Likeness.UNKNOWN
        known.held = self.enforced
        known.failures = 0
        known.breaks += 1
        self.recheck(device, now)

    def willed(self, device: Device, will: Will, now: float) -> None:
        """Ready after maintenance is the operator's word that its key table is that of the group.

        For the primary it is also his word that it is what the others are to be like.
        """
        if device.will is not Will.MAINT or will is not Will.READY:
            return
        device.likeness.vouched = True
        device.tracker.shown_equal(now)
        self.recheck(device, now)

    # --- what a check says --------------------------------------------------------------------------------------

    def settled_by(self, device: Device, portrait: Portrait) -> Comparison | None:
        """What can be said without asking anybody else; None where the reference has to be asked too."""
        if self._sets_the_standard(device) or not portrait.shown:  # the latter: only its serial number counts
            return compare(portrait, portrait)
        if self.kept is not None:
            comparison = compare(portrait, self.kept)
            if comparison.complete and not comparison.differences:
                return comparison
        return None

    def reference_for(self, device: Device) -> Device | None:
        """Whom to ask together with this device; None where nobody fit can be reached."""
        fit = [other for other in self.devices if other is not device and self.vouches_for(other)]
        return min(fit, key=lambda other: (not _is_primary(other), other.is_backup), default=None)

    def vouches_for(self, device: Device) -> bool:
        """Whether others may be compared with it: it was shown alike, and nothing has been said against it since."""
        return device.likeness.state is Likeness.ALIKE and _reachable(device)

    def without_reference(self, portrait: Portrait) -> Comparison | None:
        """The comparison with what was last seen; None where nothing was."""
        if self.kept is not None:
            return compare(portrait, self.kept)
        wrong = portrait.wrong_serial
        return None if wrong is None else Comparison((wrong,), complete=False, same_key_table=False)

    def showed(self, device: Device, portrait: Portrait, now: float) -> None:
        """Take in what the reference showed while another device was compared with it."""
        if _is_primary(device) and portrait.wrong_serial is None:
            self._keep(device, portrait, now)

    def judge(self, device: Device, portrait: Portrait, comparison: Comparison | None, now: float) -> None:
        """Draw the consequences of a check. ``comparison`` None: there was nothing to compare with."""
        known = device.likeness
        if portrait.shown.keys() != set(self.settings.probes):
            self.recheck(device, now)  # the settings changed meanwhile
            return
        known.trouble = ""
        if comparison is not None and comparison.same_key_table:
            device.tracker.shown_equal(now)
        if comparison is not None and comparison.differences:
            self._unlike(device, comparison.differences, now)
        elif comparison is not None and comparison.complete:
            if self._sets_the_standard(device) or self.kept is None or self.kept.writes != portrait.writes:
                self._keep(device, portrait, now)
            self._alike(device, now)
        else:
            known.trouble = "nothing to compare it with"
            known.ended("unknown", again_in=self._soon(known), now=now)

    def failed(self, device: Device, reason: str, now: float) -> None:
        """A check came to no end: what was believed stays."""
        known = device.likeness
        if not known.trouble:
            self._tell("likeness check failed", device=device.name, reason=reason)
        known.trouble = reason
        known.ended("failed", again_in=self._soon(known), now=now)

    def _soon(self, known: DeviceLikeness) -> float:
        return min(_SOON * 2.0 ** min(known.failures, 10), self.settings.identity.interval)

    def _sets_the_standard(self, device: Device) -> bool:
        """Whether what this device shows is right by definition: the primary, while nothing speaks against it.

        Where nothing was seen yet, as after a start, and the primary is known to be behind: somebody who is not. Where
        all are behind: who lacks least.
        """
        known = device.likeness
        present = [each for each in self.devices if not each.leaving]
        current = [each for each in present if not each.tracker.is_behind]
        if known.vouched:
            return _is_primary(device)
        if not current:
            # It has every write that a client was told of; of one in doubt it may have either outcome.
            return device is max(present, key=lambda each: (each.lacks, _is_primary(each), not each.is_backup))
        if self.kept is not None:
            return _is_primary(device) and known.state is Likeness.ALIKE and device in current
        if any(_is_primary(each) for each in current):
            return _is_primary(device)
        stand_in = min(filter(_reachable, current), key=lambda each: each.is_backup, default=None)
        return device is stand_in

    def _keep(self, device: Device, portrait: Portrait, now: float) -> None:
        """This is what devices have to be like from now on."""
        before, self.kept = self.kept, portrait
        if before is not None and not compare(portrait, before).differences and before.writes <= portrait.writes:
            return
        if before is not None:
            self._tell("likeness reference changed", device=device.name)
        for other in self.devices:
            if other is not device:
                self.recheck(other, now)

    def _alike(self, device: Device, now: float) -> None:
        known = device.likeness
        for other in self.devices if known.state is not Likeness.ALIKE else ():
            if other is not device and other.likeness.state is Likeness.UNKNOWN:
                self.recheck(other, now)  # there is somebody to be compared with now
        known.state, known.differences, known.checked_at = Likeness.ALIKE, (), now
        known.held = known.vouched = False
        device.tracker.shown_alike(now)
        known.ended("alike", again_in=self.rota.wait(self.settings.identity.interval, now), now=now)
        if known.untell():
            self._tell("device alike again", device=device.name)

    def _unlike(self, device: Device, differences: tuple[Difference, ...], now: float) -> None:
        known = device.likeness
        new = {each.field for each in differences} - {each.field for each in known.differences}
        known.state, known.differences, known.checked_at = Likeness.UNLIKE, differences, now
        known.vouched = False
        if self.enforced:
            device.tracker.unlike(known.note, now)
        known.ended("unlike", again_in=self.rota.wait(self.settings.identity.interval * _UNLIKE, now), now=now)
        if known.tell_once() or new:
            action = self.settings.identity.action.value
            self._tell("device unlike", device=device.name, differs=[str(each) for each in differences], action=action)


def _nobody_looks() -> None:
    """Until the device has a prober."""


def _is_primary(device: Device) -> bool:
    return device.settings.role is Role.PRIMARY and not device.leaving


def _reachable(device: Device) -> bool:
    return (
        not device.leaving
        and device.will is not Will.MAINT
        and device.health not in (Health.UNKNOWN, Health.DOWN, Health.UNSAFE)
        and bool(device.upstreams)
    )
