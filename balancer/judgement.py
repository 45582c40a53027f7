"""What the answers of a device say about the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from health.outlier import Tally, outliers
from health.state import Health

from .wire.message import field

if TYPE_CHECKING:
    from .exchange import Attempt
    from .group import Group


def learn(group: Group, attempt: Attempt, answer: bytes, now: float, *, error: bool) -> None:
    """Take in one answer. An error answer is the request's fault, not the device's, unless the settings say so."""
    device, exchange = attempt.device, attempt.exchange
    command = exchange.command
    seconds = now - attempt.sent_at
    device.duration.record(seconds)
    if command.provable and exchange.owner is None:
        device.answered += 1
        device.errors += error
    tracker = device.tracker
    if error:
        device.count("device_error")
        if _names_the_device(answer, group.settings.ejection.errors):
            tracker.request_failed("it says it is broken", now, may_eject=group.others_could_serve(device))
            group.changed(device)
        return
    device.ok += 1
    if command.known:  # else clients could fill the memory with codes of their own
        device.costs.learn(exchange.code, seconds, now)
    if not tracker.calm:
        doubted = tracker.suspect or tracker.health is not Health.UP
        tracker.request_answered(now)
        if doubted:
            group.changed(device)


def judge(group: Group, now: float) -> None:
    """Eject a device that answers errors where its peers do not."""
    tallies = {device.name: Tally(device.answered, device.errors) for device in group.scheduler.serving}
    found = outliers(tallies, group.settings.ejection.error_rate)
    for device in group.devices:
        if device.name in found and group.others_could_serve(device):
            device.tracker.eject("it answers errors where its peers do not", now)
            group.changed(device)
    for device in group.devices:
        device.answered = device.errors = 0


def _names_the_device(answer: bytes, numbers: tuple[str, ...]) -> bool:
    """Whether an error answer's ``AM`` number is one of those that mean a broken device."""
    if not numbers:
        return False
    number = field(answer, b"AM")
    return number is not None and number.decode("ascii", "replace") in numbers
