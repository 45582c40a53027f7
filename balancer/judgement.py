"""What the answers of a device say about the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from health.outlier import outliers
from health.state import Health

from .wire.message import field, is_error

if TYPE_CHECKING:
    from .exchange import Attempt
    from .group import Group


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
                tracker.not_proved(now, may_eject=group.others_could_serve(device))
                group.changed(device)
        if _names_the_device(answer, group.settings.ejection.errors):
            tracker.request_failed("it says it is broken", now, may_eject=group.others_could_serve(device))
            group.changed(device)
        return
    doubted = tracker.suspect or tracker.health is not Health.UP
    tracker.request_answered(now)
    if doubted:
        group.changed(device)


def compare(group: Group, now: float) -> bool:
    """Eject a device that answers errors where its peers do not. Looks at what came since tallies were forgotten.

    Says whether they may be: each device has answered enough to be judged by it.
    """
    tallies = {device.name: device.tally() for device in group.scheduler.serving}
    found = outliers(tallies, group.settings.ejection.error_rate)
    for device in group.devices:
        if device.name in found and group.others_could_serve(device):
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
