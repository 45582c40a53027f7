"""What several workers show, as one: the snapshot that a single process would have shown. Pure.

Counters and histograms are summed exactly. What a worker had counted when it ended (`remains`) goes on being counted,
so that no total ever falls. What is so now (outstanding, connections, queued) is of the workers that live.

What they believe is one belief each, by evidence of their own. A device is in service if any worker sends it requests;
its health is the worst that a worker believes, and the reason says who where they differ. A worker that has no verdict
yet, as after its start, has no say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

import attrs

from balancer.snapshot import (
    CommandSnapshot,
    DeviceSnapshot,
    GroupSnapshot,
    HistogramSnapshot,
    Likeness,
    LikenessSnapshot,
    ListenerSnapshot,
    ProxySnapshot,
    ProxyState,
    Will,
    WritesSnapshot,
)
from health.state import Health

from .sums import added, latest, least, numbered, summed

T = TypeVar("T")
Parts = Sequence[tuple[int, T]]  # by the worker's number

_WORST: Final = (Health.UNSAFE, Health.DOWN, Health.EJECTED, Health.PROBATION, Health.UP, Health.UNKNOWN)
_UNFIT: Final = (Health.DOWN, Health.EJECTED, Health.UNSAFE)
_LIKENESS: Final = (Likeness.UNLIKE, Likeness.UNKNOWN, Likeness.ALIKE)
_WILLS: Final = (Will.MAINT, Will.DRAIN, Will.READY)
_STATES: Final = (ProxyState.SERVING, ProxyState.STARTING, ProxyState.DRAINING)
NOBODY: Final = "no worker runs"


def merged(parts: Mapping[int, ProxySnapshot], former: ProxySnapshot | None = None) -> ProxySnapshot:
    """``parts``: by the worker's number, from 1. ``former``: of those that have ended, as `remains` gives it.

    Raises ValueError where there is neither.
    """
    live = [(number, parts[number]) for number in sorted(parts)]
    if not live:
        if former is None:
            raise ValueError("there is nothing to show")
        return former
    snapshots = [part for _, part in live]
    first = snapshots[0]
    before = {group.name: group for group in former.groups} if former else {}
    listeners_before = {listener.name: listener for listener in former.listeners} if former else {}
    groups: dict[str, list[tuple[int, GroupSnapshot]]] = {}
    listeners: dict[str, list[ListenerSnapshot]] = {}
    for number, part in live:
        for group in part.groups:
            groups.setdefault(group.name, []).append((number, group))
        for listener in part.listeners:
            listeners.setdefault(listener.name, []).append(listener)
    delays = [each.loop_delay for each in (*snapshots, former) if each is not None and each.loop_delay is not None]
    return attrs.evolve(
        first,
        state=min((part.state for part in snapshots), key=_STATES.index),
        started=min(part.started for part in snapshots),
        groups=tuple(_group(same, before.get(name)) for name, same in groups.items()),
        listeners=tuple(_listener(same, listeners_before.get(name)) for name, same in listeners.items()),
        loop_delay=summed(delays) if delays else None,
        lines_dropped=sum(part.lines_dropped for part in snapshots) + (former.lines_dropped if former else 0),
    )


def remains(ended: ProxySnapshot, number: int) -> ProxySnapshot:
    """What is left of a worker that has ended: what it had counted, and nothing of what was so at that moment."""
    return attrs.evolve(
        ended,
        state=ProxyState.STARTING,
        groups=tuple(_rest_of_group(group, number) for group in ended.groups),
        listeners=tuple(
            attrs.evolve(listener, connections=dict.fromkeys(listener.connections, 0), handshaking=0, limit=0)
            for listener in ended.listeners
        ),
    )


def joined(one: ProxySnapshot | None, other: ProxySnapshot) -> ProxySnapshot:
    """Of two that have ended; ``other`` is the later one, and what it did not have any more is let go of."""
    return other if one is None else attrs.evolve(merged({0: other}, one), state=ProxyState.STARTING)


def serves_as_well(one: ProxySnapshot, others: Iterable[ProxySnapshot]) -> bool:
    """Whether each device that is in service for any of the others is so for this one, or known not to be fit."""
    in_service = {
        (group.name, device.name)
        for other in others
        for group in other.groups
        for device in group.devices
        if device.in_service
    }
    return all(
        device.in_service or device.health in _UNFIT or (group.name, device.name) not in in_service
        for group in one.groups
        for device in group.devices
    )


# --- groups ------------------------------------------------------------------------------------------------------


def _group(parts: Parts[GroupSnapshot], former: GroupSnapshot | None) -> GroupSnapshot:
    live = [part for _, part in parts]
    counted = live if former is None else [*live, former]
    of_all = [*parts, *([] if former is None else [(0, former)])]
    devices: dict[str, list[tuple[int, DeviceSnapshot]]] = {}
    for number, part in parts:
        for device in part.devices:
            devices.setdefault(device.name, []).append((number, device))
    known = {device.name: device for device in former.devices} if former else {}
    commands: dict[str, list[tuple[int, CommandSnapshot]]] = {}
    for number, part in of_all:
        for command in part.commands:
            commands.setdefault(command.command, []).append((number, command))
    waited = [(number, part.queue_duration) for number, part in of_all if part.queue_duration is not None]
    return attrs.evolve(
        live[0],
        devices=tuple(_device(same, known.get(name)) for name, same in devices.items()),
        commands=tuple(_command(name, same) for name, same in commands.items()),
        proxy_duration=_durations([(number, part.proxy_duration) for number, part in of_all]),
        queued=sum(part.queued for part in live),
        retries=added(part.retries for part in counted),
        failovers=sum(part.failovers for part in counted),
        would_block=sum(part.would_block for part in counted),
        sessions=sum(part.sessions for part in live),
        logins=added(part.logins for part in counted),
        pinned=added(part.pinned for part in live),
        writes=_writes([part.writes for part in live], former.writes if former else None),
        queue_size=sum(part.queue_size for part in live),
        queue_duration=_durations(waited) if waited else None,
        retries_left=sum(part.retries_left for part in live),
        retries_refused=sum(part.retries_refused for part in counted),
    )


def _command(name: str, parts: Parts[CommandSnapshot]) -> CommandSnapshot:
    return CommandSnapshot(
        command=name,
        outcomes=added(part.outcomes for _, part in parts),
        duration=_durations([(number, part.duration) for number, part in parts]),
        latest=latest({key: numbered(one, number) for key, one in part.latest.items()} for number, part in parts),
    )


def _durations(parts: Parts[HistogramSnapshot]) -> HistogramSnapshot:
    return summed(
        [
            part
            if not part.exemplars
            else attrs.evolve(part, exemplars={at: numbered(one, number) for at, one in part.exemplars.items()})
            for number, part in parts
        ]
    )


def _writes(live: Sequence[WritesSnapshot], former: WritesSnapshot | None) -> WritesSnapshot:
    """The journal is one: who knows the later write knows better, and a device lacks what anybody says it lacks."""
    return WritesSnapshot(
        queued=sum(each.queued for each in live),
        under_way=any(each.under_way for each in live),
        last_sequence=max(each.last_sequence for each in live),
        behind=least(each.behind for each in live),
        in_doubt=tuple(dict.fromkeys(name for each in live for name in each.in_doubt)),
        promoted=next((each.promoted for each in live if each.promoted is not None), None),
        results=added(each.results for each in (*live, *([] if former is None else [former]))),
    )


def _rest_of_group(group: GroupSnapshot, number: int) -> GroupSnapshot:
    return attrs.evolve(
        group,
        devices=tuple(_rest_of_device(device, number) for device in group.devices),
        commands=tuple(_command(command.command, [(number, command)]) for command in group.commands),
        proxy_duration=_durations([(number, group.proxy_duration)]),
        queue_duration=None if group.queue_duration is None else _durations([(number, group.queue_duration)]),
        queued=0,
        sessions=0,
        pinned={},
        queue_size=0,
        retries_left=0.0,
        writes=WritesSnapshot(last_sequence=group.writes.last_sequence, results=group.writes.results),
    )


# --- devices -----------------------------------------------------------------------------------------------------


def _device(parts: Parts[DeviceSnapshot], former: DeviceSnapshot | None) -> DeviceSnapshot:
    """A device whose address a reload has changed is another one: what was counted of that is not added to this."""
    first = parts[0][1]
    same = [(number, part) for number, part in parts if part.address == first.address]
    live = [part for _, part in same]
    past = former if former is not None and former.address == first.address else None
    counted = live if past is None else [*live, past]
    of_all = [*same, *([] if past is None else [(0, past)])]
    health = min((part.health for part in live), key=_WORST.index)
    pinged = max(live, key=lambda part: part.last_ping_at or 0.0)
    return attrs.evolve(
        first,
        will=min((part.will for part in live), key=_WILLS.index),
        health=health,
        in_service=any(part.in_service for part in live),
        reason=_reason(same, health),
        since=max(part.since for part in live if part.health is health),
        outstanding=sum(part.outstanding for part in live),
        limit=sum(part.limit for part in live),
        rate=None if first.rate is None else sum(part.rate or 0.0 for part in live),
        throttled=sum(part.throttled for part in counted),
        outcomes=added(part.outcomes for part in counted),
        duration=_durations([(number, part.duration) for number, part in of_all]),
        recent=summed([part.recent for part in live]),
        last_ping=pinged.last_ping,
        last_ping_at=pinged.last_ping_at,
        connections=added(part.connections for part in live),
        ejections=added(part.ejections for part in counted),
        likeness=_likeness([part.likeness for part in live], past.likeness if past else None),
        behind=any(part.behind for part in live),
    )


def _reason(parts: Parts[DeviceSnapshot], worst: Health) -> str:
    """As the first who has one says it; where they differ, it names who believes the worst, and what others do."""
    of_worst = [(number, part) for number, part in parts if part.health is worst]
    said = next((part.reason for _, part in of_worst if part.reason), "")
    others = {part.health: None for _, part in parts if part.health not in (worst, Health.UNKNOWN)}
    if not others:
        return said
    who = ", ".join(str(number) for number, _ in of_worst)
    believed = " or ".join(health.value for health in others)
    return f"worker{'s' * (len(of_worst) > 1)} {who}: {said or worst.value} (others: {believed})"


def _likeness(live: Sequence[LikenessSnapshot], former: LikenessSnapshot | None) -> LikenessSnapshot:
    known = [each for each in live if each.state is not Likeness.UNKNOWN] or live
    worst = min(known, key=lambda each: _LIKENESS.index(each.state))
    times = [each.checked_at for each in live if each.checked_at is not None]
    return LikenessSnapshot(
        state=worst.state,
        checked_at=max(times, default=None),
        differs=tuple(dict.fromkeys(text for each in known if each.state is worst.state for text in each.differs)),
        results=added(each.results for each in (*live, *([] if former is None else [former]))),
    )


def _rest_of_device(device: DeviceSnapshot, number: int) -> DeviceSnapshot:
    return attrs.evolve(
        device,
        health=Health.UNKNOWN,
        in_service=False,
        reason=NOBODY,
        outstanding=0,
        limit=0,
        duration=_durations([(number, device.duration)]),
        recent=attrs.evolve(device.recent, counts=(0,) * len(device.recent.counts), total=0.0, exemplars={}),
        connections=dict.fromkeys(device.connections, 0),
        likeness=LikenessSnapshot(results=device.likeness.results),
    )


# --- listeners ---------------------------------------------------------------------------------------------------


def _listener(live: Sequence[ListenerSnapshot], former: ListenerSnapshot | None) -> ListenerSnapshot:
    counted: Iterable[ListenerSnapshot] = live if former is None else (*live, former)
    return attrs.evolve(
        live[0],
        connections=added(each.connections for each in live),
        handshaking=sum(each.handshaking for each in live),
        handshakes=added(each.handshakes for each in counted),
        limit=sum(each.limit for each in live),
    )
