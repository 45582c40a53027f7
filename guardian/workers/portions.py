"""What of a configuration is one worker's, so that all of them together keep to it. Pure.

What a device, an account or this machine must not get more of is shared out exactly, but that each worker has at least
one of it: `excesses` says where that makes more than the setting allows. What is a duration or belongs to one client
stays as it is, and so do refused logins, which are counted together (`tries`).
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from config.model import Config, Device, Group, Listener


def portion(config: Config, number: int, count: int) -> Config:
    """That of worker ``number``, from 1, of so many. The sum over all is what ``config`` says."""
    if count == 1:
        return config
    return attrs.evolve(
        config,
        listeners=tuple(_listener(listener, number, count) for listener in config.listeners),
        groups=tuple(_group(group, number, count) for group in config.groups),
    )


def excesses(config: Config, count: int) -> Iterator[tuple[str, int]]:
    """Settings that so many workers cannot keep to together, with what they say: each takes one at least."""
    for listener in config.listeners:
        if listener.limits.connections < count:
            yield f"listeners.{listener.name}.limits.connections", listener.limits.connections
    for group in config.groups:
        for device in group.devices:
            for key in ("connections", "outstanding", "private"):
                most = getattr(device, key)
                if 0 < most < count:
                    yield f"groups.{group.name}.devices.{device.name}.{key}", most


def _part(whole: int, number: int, count: int) -> int:
    return whole // count + (number <= whole % count)


def _at_least_one(whole: int, number: int, count: int) -> int:
    """0 stays 0: it switches something off."""
    return max(1, _part(whole, number, count)) if whole else 0


def _listener(listener: Listener, number: int, count: int) -> Listener:
    limits = listener.limits
    return attrs.evolve(
        listener,
        limits=attrs.evolve(
            limits,
            connections=_at_least_one(limits.connections, number, count),
            handshakes=_at_least_one(limits.handshakes, number, count),
        ),
    )


def _group(group: Group, number: int, count: int) -> Group:
    return attrs.evolve(
        group,
        queue=attrs.evolve(group.queue, size=_at_least_one(group.queue.size, number, count)),
        # What is earned goes with the requests, and these are spread already.
        retries=attrs.evolve(group.retries, reserve=_part(group.retries.reserve, number, count)),
        devices=tuple(_device(device, number, count) for device in group.devices),
    )


def _device(device: Device, number: int, count: int) -> Device:
    return attrs.evolve(
        device,
        connections=_at_least_one(device.connections, number, count),
        outstanding=_at_least_one(device.outstanding, number, count),
        private=_at_least_one(device.private, number, count),
        rate=None if device.rate is None else device.rate / count,
    )
