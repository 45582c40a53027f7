"""How long things took lately: percentiles of groups, devices and commands, and which device is slow.

Made once a second: it is most of the work of a frame, and nobody reads a number that changes faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Final

import attrs

from balancer.snapshot import DeviceSnapshot, GroupSnapshot, HistogramSnapshot

from .past import Moment, Since, histogram_since

ENOUGH: Final = 20  # answers, for a percentile to say something
_SLOW_P50: Final = 2.0  # times the median of the other devices
_SLOW_P99: Final = 4.0  # made of few answers, so that more of it is chance
_SLOW_BY: Final = 0.001  # seconds; below, nobody cares for a factor


@attrs.frozen
class Percentiles:
    """In milliseconds; None where there was nothing."""

    p50: float | None = None
    p99: float | None = None


@attrs.frozen(kw_only=True)
class Latencies:
    """By name; devices and commands by the names of their group and their own."""

    groups: Mapping[str, Percentiles]  # of the last ten seconds: from the request read to the answer written
    proxy: Mapping[str, Percentiles]  # the same, less the device's time
    devices: Mapping[tuple[str, str], Percentiles]  # of the last ten seconds, or the last minute where that is little
    slower: Mapping[tuple[str, str], float]  # how many times slower than the other devices: only what is remarkable
    commands: Mapping[tuple[str, str], Percentiles]  # of the last minute


def latencies(now: Moment, since: Since) -> Latencies:
    groups: dict[str, Percentiles] = {}
    proxy: dict[str, Percentiles] = {}
    devices: dict[tuple[str, str], Percentiles] = {}
    slower: dict[tuple[str, str], float] = {}
    for group in now.snapshot.groups:
        before = since.lately.groups.get(group.name) if since.lately else None
        groups[group.name] = _percentiles(_all_commands(group, before))
        proxy[group.name] = _percentiles(
            histogram_since(group.proxy_duration, before.proxy_duration if before else None)
        )
        known: dict[str, Percentiles] = {}
        for device in group.devices:
            recent = _recent(group.name, device, since)
            found = devices[group.name, device.name] = _percentiles(recent)
            if recent.count >= ENOUGH:
                known[device.name] = found
        for name, factor in slow(known).items():
            slower[group.name, name] = factor
    commands = {
        place: _percentiles(histogram_since(entry.duration, _duration_then(place, since)))
        for place, entry in now.commands.items()
    }
    return Latencies(groups=groups, proxy=proxy, devices=devices, slower=slower, commands=commands)


def _recent(group: str, device: DeviceSnapshot, since: Since) -> HistogramSnapshot:
    then = since.lately.devices.get((group, device.name)) if since.lately else None
    if then is None or then.duration.counts == device.duration.counts:
        return device.recent
    recent = histogram_since(device.duration, then.duration)
    return recent if recent.count >= ENOUGH else device.recent


def slow(known: Mapping[str, Percentiles]) -> dict[str, float]:
    """Of the devices of a group: which are slow, and how many times the median of the others."""
    found = _outliers({name: each.p99 for name, each in known.items()}, _SLOW_P99)
    return found | _outliers({name: each.p50 for name, each in known.items()}, _SLOW_P50)


def _outliers(values: Mapping[str, float | None], factor: float) -> dict[str, float]:
    """Which are that many times the median of the others, and how many times."""
    numbers = {name: value for name, value in values.items() if value}
    found: dict[str, float] = {}
    if len(numbers) < 2:
        return found
    least = min(numbers.values())
    for name, own in numbers.items():
        if own < factor * least:  # then also of any median: most devices are told apart by this alone
            continue
        usual = median(value for other, value in numbers.items() if other != name)
        if own >= factor * usual and own - usual >= _SLOW_BY * 1000:
            found[name] = round(own / usual, 1)
    return found


def _duration_then(place: tuple[str, str], since: Since) -> HistogramSnapshot | None:
    then = since.minute.commands.get(place) if since.minute else None
    return then.duration if then else None


def _all_commands(group: GroupSnapshot, then: GroupSnapshot | None) -> HistogramSnapshot | None:
    earlier = {entry.command: entry.duration for entry in then.commands} if then else {}
    return _sum(histogram_since(entry.duration, earlier.get(entry.command)) for entry in group.commands)


def _sum(histograms: Iterable[HistogramSnapshot]) -> HistogramSnapshot | None:
    every = list(histograms)
    if not every:
        return None
    return HistogramSnapshot(
        bounds=every[0].bounds,
        counts=tuple(map(sum, zip(*(found.counts for found in every), strict=True))),
        total=sum(found.total for found in every),
    )


def _percentiles(histogram: HistogramSnapshot | None) -> Percentiles:
    if histogram is None or not any(histogram.counts):
        return _NOTHING
    return Percentiles(milliseconds(histogram.quantile(0.50)), milliseconds(histogram.quantile(0.99)))


def milliseconds(seconds: float | None) -> float | None:
    """Three digits are what the eye takes in, and fewer of them change."""
    return None if seconds is None else float(f"{seconds * 1000:.3g}")


_NOTHING: Final = Percentiles()
