"""What one worker finds out about a device makes the others look at once.

Each makes its verdicts by evidence of its own. That another doubts a device counts as one ping that failed, and is
never enough: without it the last to know would be a ping's time-out behind the first. There are two exceptions: a
device that shows another's certificate, or that is unlike its group and must not be, is unsafe for all from the first
word on, until each has seen otherwise itself. Who is behind with writes is in their journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
import structlog
import trio

from balancer.group import Group
from balancer.snapshot import Likeness
from health.state import Danger, Health

from .channel import Channel

if TYPE_CHECKING:
    from balancer.device import Device
    from guardian.proxy import Proxy

_WORD: Final = "verdict"
_LOOK_EVERY: Final = 0.05  # seconds
_ECHO: Final = 1.0  # seconds after a word, in which a doubt comes from it
_BY_WORD: Final = (Danger.STRANGER, Danger.UNLIKE)


@attrs.frozen
class _Finding:
    health: Health
    suspect: bool
    unlike: bool
    dangers: Mapping[Danger, str]  # with a text for people

    @property
    def doubtful(self) -> bool:
        """Whether that others hear of it counts as a failed ping there."""
        return self.suspect or self.health in (Health.DOWN, Health.EJECTED)

    def worth_telling(self, before: _Finding, *, echo: bool) -> bool:
        """Whether others should look. ``echo``: they were the ones who made us look."""
        if self.health is not before.health or self.unlike > before.unlike:
            return True
        if self.dangers.keys() - before.dangers.keys():
            return True
        return self.suspect and not before.suspect and not echo


class Verdicts:
    """One worker's. Make it before the channel runs."""

    def __init__(self, proxy: Proxy, channel: Channel) -> None:
        self._proxy = proxy
        self._channel = channel
        self._known: dict[Device, _Finding] = {}
        self._heard: dict[Device, float] = {}  # when, seconds of the reactor's clock
        self._log = structlog.get_logger()
        channel.hear(_WORD, self._hear)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await trio.sleep(_LOOK_EVERY)

    def look(self) -> None:
        """Tell the others what is new."""
        now = self._proxy.reactor.clock()
        known: dict[Device, _Finding] = {}
        for group in self._proxy.devices:
            for device in group.devices:
                if device.leaving:
                    continue
                found = known[device] = _finding(device)
                before = self._known.get(device)
                echo = now - self._heard.get(device, -_ECHO) < _ECHO
                if before is not None and found.worth_telling(before, echo=echo):
                    self._channel.tell(
                        _WORD,
                        group=group.name,
                        device=device.name,
                        doubtful=found.doubtful,
                        unlike=found.unlike,
                        dangers={danger.value: reason for danger, reason in found.dangers.items()},
                    )
        self._known = known
        self._heard = {device: at for device, at in self._heard.items() if device in known}

    def _hear(self, group: str, device: str, doubtful: bool, unlike: bool, dangers: dict[str, str]) -> None:
        for known_group in self._proxy.devices:
            if known_group.name == group:
                for known in known_group.devices:
                    if known.name == device and not known.leaving:
                        if doubtful:
                            known.tracker.doubted_elsewhere()
                        self._take(known_group, known, {Danger(name): why for name, why in dangers.items()}, unlike)
        self._proxy.reactor.flush()

    def _take(self, group: Group, device: Device, dangers: Mapping[Danger, str], unlike: bool) -> None:
        now = self._proxy.reactor.clock()
        self._heard[device] = now
        ours = device.tracker.dangers
        if Danger.STRANGER in dangers and Danger.STRANGER not in ours:
            device.keeper.distrust(dangers[Danger.STRANGER])
        if Danger.UNLIKE in dangers and Danger.UNLIKE not in ours and group.likeness.enforced:
            device.tracker.unlike(dangers[Danger.UNLIKE], now)
            group.changed(device)
        if unlike or Danger.UNLIKE in dangers:
            group.likeness.recheck(device, now)
        if device.tracker.dangers.keys() != ours.keys():
            self._log.warning("unsafe, as another worker found", group=group.name, device=device.name)
            self._known[device] = _finding(device)  # whom we have it from need not be told
        device.keeper.look()


def relay(channels: Mapping[int, Channel], number: int) -> None:
    """In the supervisor, before that worker's channel runs: what it finds out is told to all others.

    ``channels``: of the workers that there are, by number, which may come and go.
    """

    def tell_others(**word: Any) -> None:
        for other, channel in tuple(channels.items()):
            if other != number:
                channel.tell(_WORD, **word)

    channels[number].hear(_WORD, tell_others)


def _finding(device: Device) -> _Finding:
    dangers = device.tracker.dangers
    return _Finding(
        device.health,
        device.tracker.suspect,
        device.likeness.state is Likeness.UNLIKE,
        {danger: dangers[danger] for danger in _BY_WORD if danger in dangers},
    )
