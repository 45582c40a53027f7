"""What each device did, and how it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import Metric

from balancer.snapshot import DeviceSnapshot, GroupSnapshot, Likeness, Will
from health.state import Health

from .families import add_all, add_state, counter, gauge, histogram, observe

# Shown as 0 before the first one: rate() cannot see the step from "no series" to 1.
_OUTCOMES: Final = ("ok", "device_error", "lost", "timeout", "bad_answer", "abandoned")
_CHECKS: Final = ("alike", "unlike", "unknown", "failed")
_HEALTH: Final = tuple(state.value for state in Health)
_WILLS: Final = tuple(will.value for will in Will)
_LIKENESS: Final = tuple(state.value for state in Likeness)

_Labelled = list[tuple[tuple[str, str], DeviceSnapshot]]


def devices(groups: Iterable[GroupSnapshot]) -> Iterator[Metric]:
    all_of_them = [((group.name, device.name), device) for group in groups for device in group.devices]
    yield from _counts(all_of_them)
    yield from _load(all_of_them)
    yield from _states(all_of_them)
    yield from _pings(all_of_them)
    yield from _likeness(all_of_them)


def _counts(shown: _Labelled) -> Iterator[Metric]:
    requests = counter("guardian_device_requests", "Attempts by how they ended.", "group", "device", "outcome")
    duration = histogram(
        "guardian_device_duration_seconds", "From the request written to the answer read.", "group", "device"
    )
    ejections = counter("guardian_ejections", "How often a device was ejected, by why.", "group", "device", "reason")
    throttled = counter("guardian_device_throttled", "How often a licensed rate was used up.", "group", "device")
    for labels, device in shown:
        add_all(requests, labels, device.outcomes, _OUTCOMES)
        observe(duration, labels, device.duration, "client", "command", "outcome")
        add_all(ejections, labels, device.ejections)
        if device.rate is not None:
            throttled.add_metric(labels, device.throttled)
    yield from (requests, duration, ejections, throttled)


def _load(shown: _Labelled) -> Iterator[Metric]:
    outstanding = gauge("guardian_device_outstanding", "Requests sent and not answered.", "group", "device")
    limit = gauge("guardian_device_outstanding_limit", "How many may be.", "group", "device")
    connections = gauge("guardian_device_connections", "Connections to a device, by state.", "group", "device", "state")
    for labels, device in shown:
        outstanding.add_metric(labels, device.outstanding)
        limit.add_metric(labels, device.limit)
        add_all(connections, labels, device.connections)
    yield from (outstanding, limit, connections)


def _states(shown: _Labelled) -> Iterator[Metric]:
    info = gauge("guardian_device_info", "Always 1.", "group", "device", "role", "address")
    in_service = gauge("guardian_device_in_service", "1 if the device gets requests now.", "group", "device")
    health = gauge("guardian_device_health", "1 for the state the device is in.", "group", "device", "state")
    will = gauge("guardian_device_will", "1 for what the operator wants of it.", "group", "device", "state")
    for labels, device in shown:
        info.add_metric((*labels, device.role.value, device.address), 1)
        in_service.add_metric(labels, int(device.in_service))
        add_state(health, labels, device.health.value, _HEALTH)
        add_state(will, labels, device.will.value, _WILLS)
    yield from (info, in_service, health, will)


def _pings(shown: _Labelled) -> Iterator[Metric]:
    last = gauge(
        "guardian_device_last_ping_timestamp_seconds",
        "When it last answered a ping, or requests instead of one (Unix time).",
        "group",
        "device",
    )
    took = gauge("guardian_device_ping_duration_seconds", "How long its last good ping took.", "group", "device")
    for labels, device in shown:
        if device.last_ping_at is not None:
            last.add_metric(labels, device.last_ping_at)
        if device.last_ping is not None:
            took.add_metric(labels, device.last_ping)
    yield from (last, took)


def _likeness(shown: _Labelled) -> Iterator[Metric]:
    likeness = gauge(
        "guardian_device_likeness", "1 for what is known of it beside its group.", "group", "device", "state"
    )
    behind = gauge("guardian_device_behind", "1 if its key table lacks a write.", "group", "device")
    checks = counter("guardian_likeness_checks", "Checks by what came of them.", "group", "device", "result")
    for labels, device in shown:
        add_state(likeness, labels, device.likeness.state.value, _LIKENESS)
        behind.add_metric(labels, int(device.behind))
        add_all(checks, labels, device.likeness.results, _CHECKS)
    yield from (likeness, behind, checks)
