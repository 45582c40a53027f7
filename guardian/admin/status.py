"""`/status` and `/readyz` as values, made from a snapshot."""

from __future__ import annotations

from datetime import UTC, datetime

from balancer.snapshot import (
    AuditSnapshot,
    DeviceSnapshot,
    GroupSnapshot,
    ListenerSnapshot,
    ProxySnapshot,
    ProxyState,
    WorkerSnapshot,
)
from guardian.installation import data_path


def status(snapshot: ProxySnapshot, version: str) -> dict[str, object]:
    """What `GET /status` answers; `docs/operations.md` says what each field means."""
    return {
        "state": snapshot.state.value,
        "ready": not unready(snapshot),
        "version": version,
        "data_path": data_path(),
        "started": _time(snapshot.started),
        "groups": [_group(group) for group in snapshot.groups],
        "listeners": [_listener(listener) for listener in snapshot.listeners],
        "certificates": [{"file": file, "expires": _time(end)} for file, end in snapshot.certificates.items()],
        "reloads": dict(snapshot.reloads),
        "audit": _audit(snapshot.audit),
        "workers": [_worker(worker) for worker in snapshot.workers],
    }


def unready(snapshot: ProxySnapshot) -> list[str]:
    """Why the proxy should get no new clients; empty when it should."""
    reasons = [] if snapshot.state is ProxyState.SERVING else [f"the proxy is {snapshot.state.value}"]
    for group in snapshot.groups:
        if not group.usable:
            devices = ", ".join(
                f"{device.name} {device.health.value}"
                + (f" ({device.will.value})" if device.will.value != "ready" else "")
                for device in group.devices
            )
            reasons.append(f"group {group.name} has no usable device: {devices or 'it has none'}")
    if snapshot.audit.refuses_writes:
        reasons.append(f"writes are refused, since audit records cannot be written: {snapshot.audit.reason}")
    return reasons


def _group(group: GroupSnapshot) -> dict[str, object]:
    outcomes: dict[str, int] = {}
    for command in group.commands:
        for outcome, count in command.outcomes.items():
            outcomes[outcome] = outcomes.get(outcome, 0) + count
    return {
        "name": group.name,
        "type": group.type.value,
        "usable": group.usable,
        "queued": group.queued,
        "requests": outcomes,
        "retries": dict(group.retries),
        "failovers": group.failovers,
        "would_block": group.would_block,
        "pinned": dict(group.pinned),
        "sessions": group.sessions,
        "logins": dict(group.logins),
        "writes": {
            "queued": group.writes.queued,
            "under_way": group.writes.under_way,
            "last_sequence": group.writes.last_sequence,
            "behind": dict(group.writes.behind),
            "in_doubt": list(group.writes.in_doubt),
            "promoted": group.writes.promoted,
            "results": dict(group.writes.results),
        },
        "devices": [device_status(device) for device in group.devices],
    }


def device_status(device: DeviceSnapshot) -> dict[str, object]:
    """One entry of `devices`."""
    return {
        "name": device.name,
        "address": device.address,
        "role": device.role.value,
        "will": device.will.value,
        "health": device.health.value,
        "in_service": device.in_service,
        "outstanding": device.outstanding,
        "limit": device.limit,
        "rate": device.rate,
        "throttled": device.throttled,
        "weight": device.weight,
        "requests": device.requests,
        "errors": device.errors,
        "outcomes": dict(device.outcomes),
        "latency_ms": {
            "p50": _milliseconds(device.recent.quantile(0.50)),
            "p99": _milliseconds(device.recent.quantile(0.99)),
        },
        "last_ping_ms": _milliseconds(device.last_ping),
        "connections": sum(device.connections.values()),
        "connections_by_state": dict(device.connections),
        "ejections": dict(device.ejections),
        "likeness": {
            "state": device.likeness.state.value,
            "checked_at": None if device.likeness.checked_at is None else _time(device.likeness.checked_at),
            "differs": list(device.likeness.differs),
        },
        "behind": device.behind,
        "since": _time(device.since),
        "reason": device.reason,
    }


def _listener(listener: ListenerSnapshot) -> dict[str, object]:
    return {
        "name": listener.name,
        "bind": listener.bind,
        "group": listener.group,
        "connections": sum(listener.connections.values()),
        "connections_by_kind": dict(listener.connections),
        "handshaking": listener.handshaking,
        "handshakes": dict(listener.handshakes),
    }


def _worker(worker: WorkerSnapshot) -> dict[str, object]:
    return {
        "number": worker.number,
        "up": worker.up,
        "pid": worker.pid or None,
        "started": _time(worker.started) if worker.pid else None,
        "restarts": worker.restarts,
        "connections": worker.connections,
        "outstanding": worker.outstanding,
        "requests": worker.requests,
        "cpu_seconds": round(worker.cpu, 3),
        "memory": worker.memory,
    }


def _audit(audit: AuditSnapshot) -> dict[str, object]:
    syslog = audit.syslog
    return {
        "state": audit.state.value,
        "refuses_writes": audit.refuses_writes,
        "reason": audit.reason,
        "records": audit.records,
        "unwritten": audit.unwritten,
        "failures": audit.failures,
        "lost": audit.lost,
        "last": {"record": audit.last, "hash": audit.digest},
        "syslog": None
        if syslog is None
        else {
            "address": syslog.address,
            "connected": syslog.connected,
            "reason": syslog.reason,
            "sent": syslog.sent,
            "queued": syslog.queued,
            "dropped": syslog.dropped,
        },
    }


def _time(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
