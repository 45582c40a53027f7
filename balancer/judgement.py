"""What the answers of a device, and the connections that it loses, say about the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from health.outlier import outliers
from health.state import Health

from .snapshot import Will
from .wire.message import field, is_error

if TYPE_CHECKING:
    from .device import Device
    from .exchange import Attempt
    from .group import Group
    from .upstream import Upstream

_OF_NO_USE: Final = 1.0  # seconds: a connection lost sooner, with nothing answered, counts as a failed try


def judge(group: Group, attempt: Attempt, answer: bytes, now: float) -> None:
    """Take in an answer that may change what is believed of its device.

    An error answer is the request's fault, not the device's, unless the settings say so.
    """
    device, exchange = attempt.device, attempt.exchange
    tracker = device.tracker
    if is_error(answer):
        device.count("device_error")
        device.costs.keep(exchange.code)
        if exchange.command.provable and exchange.owner is None:
            device.errors += 1
            if tracker.health is Health.PROBATION:
                tracker.not_proved(now, may_eject=others_could_serve(group, device))
                group.changed(device)
        if _names_the_device(answer, group.settings.ejection.errors):
            tracker.request_failed("it says it is broken", now, may_eject=others_could_serve(group, device))
            group.changed(device)
        return
    doubted = tracker.suspect or tracker.health is not Health.UP
    tracker.request_answered(now)
    if doubted:
        group.changed(device)


def blame(group: Group, upstream: Upstream, reason: str, requests: int, *, misbehaved: bool, now: float) -> None:
    """A connection was lost by its device's doing, with so many real requests outstanding."""
    device = upstream.device
    if not upstream.used and now - upstream.opened < _OF_NO_USE:
        device.keeper.lost_unused()
    if requests or misbehaved:
        device.tracker.request_failed(reason, now, may_eject=others_could_serve(group, device))
        group.tell("device connection lost", device=device.name, reason=reason, outstanding=requests)
    elif device.will is not Will.MAINT:
        device.tracker.doubt()


def others_could_serve(group: Group, device: Device) -> bool:
    """Whether the group would still serve without this device; if not, it is not ejected."""
    return any(
        other is not device and other.wanted and other.health is Health.UP and not other.tracker.suspect
        for other in group.devices
    )


def compare(group: Group, now: float) -> bool:
    """Eject a device that answers errors where its peers do not. Looks at what came since tallies were forgotten.

    Says whether they may be: each device has answered enough to be judged by it.
    """
    tallies = {device.name: device.tally() for device in group.scheduler.serving}
    found = outliers(tallies, group.settings.ejection.error_rate)
    for device in group.devices:
        if device.name in found and others_could_serve(group, device):
            device.tracker.eject("it answers errors where its peers do not", now)
            device.forget_tally()
            group.changed(device)
    return all(tally.enough for tally in tallies.values())


def _names_the_device(answer: bytes, numbers: tuple[str, ...]) -> bool:
    """Whether an error answer's ``AM`` number is one of those that mean a broken device."""
    if not numbers:
        return False
    number = field(answer, b"AM")
    return number is not None and number.decode("ascii", "replace") in numbers
