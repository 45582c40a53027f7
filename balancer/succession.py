"""Which device runs a write before all others: the primary, or who stands in for it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from config.model import PrimaryLoss, Role
from health.state import Health

from .snapshot import Will

if TYPE_CHECKING:
    from .device import Device
    from .group import Group

ALIVE: Final = (Health.UP, Health.PROBATION)


class Succession:
    """``promoted`` stands in for the primary of the group."""

    def __init__(self, group: Group, tell: Callable[..., None]) -> None:
        self.promoted: Device | None = None
        self._group = group
        self._tell = tell

    @property
    def primary(self) -> Device | None:
        for device in self._group.devices:
            if device.settings.role is Role.PRIMARY and not device.leaving:
                return device
        return None

    def first(self) -> Device | None:
        """Who runs the next write before all others; None where nobody may."""
        primary = self.primary
        if primary is not None and in_sync(primary):
            if self.promoted is not None:
                self._tell("primary is back", device=primary.name, instead_of=self.promoted.name)
                self.promoted = None
            return primary
        if self._group.settings.writes.primary_loss is PrimaryLoss.REFUSE:
            self.promoted = None
            return None
        if self.promoted is None or not in_sync(self.promoted):
            self.promote(())
        return self.promoted

    def promote(self, tried: tuple[Device, ...] | list[Device]) -> None:
        """The first production device of the configuration that is in sync; those in service and unsuspected before."""
        primary = self.primary
        fit = [
            device
            for device in self._group.devices
            if device.settings.role is Role.PRODUCTION and device not in tried and in_sync(device)
        ]
        self.promoted = min(fit, key=_second_choice, default=None)
        if self.promoted is not None:
            instead_of = None if primary is None else primary.name
            self._tell("primary promoted", device=self.promoted.name, instead_of=instead_of)

    def quorum(self, in_sync: int) -> int:
        """How many devices must have a write, of so many that are in sync."""
        quorum = self._group.settings.writes.quorum
        if quorum == "all":
            return in_sync
        if quorum == "majority":
            return sum(1 for device in self._group.devices if not device.leaving) // 2 + 1
        return int(quorum)


def in_sync(device: Device) -> bool:
    """Whether it has every write so far and can take the next: in service, or up and resting."""
    return (
        not device.leaving
        and device.will is Will.READY
        and not device.likeness.held  # it may have lost its keys since it was last seen
        and device.health is not Health.UNSAFE  # whoever is behind is
        and (device.health in ALIVE or device.serving)
    )


def _second_choice(device: Device) -> tuple[bool, bool]:
    """Sorts whom to promote; equals stay in the configuration's order."""
    return (not device.serving, device.tracker.suspect)
