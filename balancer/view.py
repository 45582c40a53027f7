"""A group as it is at one moment, for whoever shows it."""

from __future__ import annotations

from collections import Counter

from .group import Group
from .snapshot import GroupSnapshot


def group_snapshot(group: Group, wall_minus_clock: float) -> GroupSnapshot:
    """``wall_minus_clock``: what turns the clock's seconds into Unix time.

    A device whose address a reload has changed is shown once, as it is now, though the old one may still be draining.
    """
    current = {device.name for device in group.devices if not device.leaving}
    shown = [device for device in group.devices if not device.leaving or device.name not in current]
    return GroupSnapshot(
        name=group.name,
        type=group.settings.type,
        devices=tuple(device.snapshot(wall_minus_clock) for device in shown),
        commands=group.commands.snapshot(wall_minus_clock),
        proxy_duration=group.proxy_duration.snapshot(wall_minus_clock),
        queued=len(group.queue)
        + len(group.writes.queue)
        + group.sessions.queued
        + sum(len(device.waiting) for device in group.devices),
        retries=dict(group.resending.counts),
        failovers=group.failovers,
        would_block=group.would_block,
        sessions=len(group.sessions.all),
        logins={**group.sessions.results},
        pinned=dict(Counter(pin.label for pin in group.pins.all)),
        writes=group.writes.snapshot(),
        queue_size=group.settings.queue.size,
        queue_duration=group.queue_duration.snapshot(wall_minus_clock),
        retries_left=group.resending.budget.left,
        retries_refused=group.resending.budget.refused,
    )
