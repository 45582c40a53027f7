"""Earlier snapshots, so that counters become rates and histograms become percentiles of the last seconds."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from balancer.snapshot import CommandSnapshot, DeviceSnapshot, GroupSnapshot, HistogramSnapshot, ProxySnapshot

_JUST = 1.0  # seconds that a rate covers at least
_LATELY = 10.0  # that the latency of groups and devices covers at most
_MINUTE = 60.0  # that the commands' does


@attrs.frozen
class Moment:
    """A snapshot, when it was taken (seconds, monotonic), and its parts by name."""

    at: float
    snapshot: ProxySnapshot
    groups: Mapping[str, GroupSnapshot] = attrs.field(init=False)
    devices: Mapping[tuple[str, str], DeviceSnapshot] = attrs.field(init=False)
    commands: Mapping[tuple[str, str], CommandSnapshot] = attrs.field(init=False)

    @groups.default
    def _groups(self) -> Mapping[str, GroupSnapshot]:
        return {group.name: group for group in self.snapshot.groups}

    @devices.default
    def _devices(self) -> Mapping[tuple[str, str], DeviceSnapshot]:
        return {(group.name, device.name): device for group in self.snapshot.groups for device in group.devices}

    @commands.default
    def _commands(self) -> Mapping[tuple[str, str], CommandSnapshot]:
        return {(group.name, entry.command): entry for group in self.snapshot.groups for entry in group.commands}


@attrs.frozen(kw_only=True)
class Since:
    """Moments to compare with; None where nobody has watched for so long."""

    just: Moment | None = None  # 1 to 2 s ago
    lately: Moment | None = None  # up to 10 s ago
    minute: Moment | None = None  # up to 60 s ago


class Past:
    """Keeps about sixteen moments: those of the last seconds, and one for each ten seconds of the minute before."""

    def __init__(self) -> None:
        self._kept: list[Moment] = []  # oldest first

    def since(self, now: float) -> Since:
        """What is there to compare with at ``now``."""
        just = next((moment for moment in reversed(self._kept) if now - moment.at >= _JUST), None)
        lately = next((moment for moment in self._kept if now - moment.at <= _LATELY), None)
        minute = next((moment for moment in self._kept if now - moment.at <= _MINUTE), None)
        return Since(just=just, lately=lately, minute=minute)

    def keep(self, moment: Moment) -> None:
        """Remember it, if it is a second after the last; what is too old is forgotten."""
        if self._kept and moment.at - self._kept[-1].at < _JUST:
            return
        young = [kept for kept in self._kept if moment.at - kept.at < _LATELY]
        old: list[Moment] = []
        for kept in self._kept:
            age = moment.at - kept.at
            if _LATELY <= age <= _MINUTE + _LATELY and (not old or kept.at - old[-1].at >= _LATELY - _JUST / 2):
                old.append(kept)
        self._kept = [*old, *young, moment]

    def __len__(self) -> int:
        return len(self._kept)


def rise(now: int, then: int | None) -> int:
    """How much a counter grew; one that shrank has begun anew. ``then`` None: since it began."""
    return now if then is None or then > now else now - then


def histogram_since(now: HistogramSnapshot, then: HistogramSnapshot | None) -> HistogramSnapshot:
    """What was counted after ``then``; all of it where there is no earlier one, or where the count began anew."""
    if then is None or then.bounds != now.bounds:
        return now
    grown = now.since(then)
    return now if any(count < 0 for count in grown.counts) else grown
