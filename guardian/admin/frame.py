"""What the dashboard shows, as plain values for JSON, and what of it has changed.

`docs/operations.md` says what each field means. A value that is not known is left out: in a change (RFC 7396) null
means that a field is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

import attrs

from balancer.snapshot import (
    CommandSnapshot,
    DeviceSnapshot,
    GroupSnapshot,
    ListenerSnapshot,
    ProxySnapshot,
    WorkerSnapshot,
)

from .latency import Latencies, Percentiles, latencies, milliseconds
from .past import Moment, Past, Since, rise
from .status import unready

if TYPE_CHECKING:
    from guardian.events import Event

Values = dict[str, object]

# Outcomes for which the proxy said no by itself: no device was asked, or none was left to ask.
_REFUSED: Final = ("blocked", "no_device", "busy", "malformed", "shutdown", "login_lost")
_LATENCIES_EVERY: Final = 1.0  # seconds


@attrs.frozen(kw_only=True)
class About:
    """What does not change while the proxy runs."""

    version: str
    data_path: str


@attrs.frozen(kw_only=True)
class Frame:
    """What one tick says: `change` to whoever has the frame before, `full` to all others."""

    number: int
    full: Values
    change: Values


class FrameMaker:
    """Makes one frame after the other, each from a snapshot and from what is remembered of the ones before.

    Forget it when nobody watches any more: what it remembers would be old.
    """

    def __init__(self, about: About, number: int = 0) -> None:
        """``number``: of the last frame that somebody else made."""
        self.number = number  # of the last frame
        self._about = about
        self._past = Past()
        self._before: Values = {}
        self._latencies: Latencies | None = None
        self._latencies_at = 0.0

    def make(self, at: float, wall: float, snapshot: ProxySnapshot, events: Iterable[Event], fresh: int) -> Frame:
        """``at``: seconds, monotonic. ``wall``: Unix time. ``events``: the last ones, oldest first, of which those
        after number ``fresh`` were not in a frame yet.
        """
        now = Moment(at, snapshot)
        since = self._past.since(at)
        if self._latencies is None or at - self._latencies_at >= _LATENCIES_EVERY:
            self._latencies, self._latencies_at = latencies(now, since), at
        state = view(now, since, self._latencies, self._about)
        self._past.keep(now)
        self.number += 1
        shown = [(event.number, _event(event)) for event in events]
        head: Values = {"number": self.number, "at": round(wall, 3)}
        change = changes(self._before, state)
        self._before = state
        return Frame(
            number=self.number,
            full={**head, "state": state, "events": [values for _, values in shown]},
            change={**head, "change": change, "events": [values for number, values in shown if number > fresh]},
        )


def view(now: Moment, since: Since, took: Latencies, about: About) -> Values:
    """The whole state as the dashboard shows it."""
    snapshot = now.snapshot
    reasons = unready(snapshot)
    return {
        "state": snapshot.state.value,
        "ready": not reasons,
        "reasons": reasons,
        "version": about.version,
        "data_path": about.data_path,
        "started": round(snapshot.started, 3),
        "groups": {group.name: _group(group, now, since, took) for group in snapshot.groups},
        "listeners": {listener.name: _listener(listener) for listener in snapshot.listeners},
        "certificates": [
            {"file": file, "expires": end}
            for file, end in sorted(snapshot.certificates.items(), key=lambda entry: (entry[1], entry[0]))
        ],
        "reloads": dict(snapshot.reloads),
        "workers": {str(worker.number): _worker(worker) for worker in snapshot.workers},
    }


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> Values:
    """The JSON merge patch (RFC 7396) that turns one into the other; empty if they are equal."""
    changed: Values = {key: None for key in before if key not in after}
    for key, value in after.items():
        known = before.get(key)
        if value == known and key in before:
            continue
        if isinstance(value, dict) and isinstance(known, dict):
            changed[key] = changes(known, value)
        else:
            changed[key] = value
    return changed


def _event(event: Event) -> Values:
    return {
        "number": event.number,
        "at": round(event.at, 3),
        "kind": event.kind.value,
        "who": event.who,
        "source": event.source,
        "what": event.what,
        "result": event.result,
        "detail": event.detail,
    }


def _group(group: GroupSnapshot, now: Moment, since: Since, took: Latencies) -> Values:
    seconds = now.at - since.just.at if since.just else None
    before = since.just.groups.get(group.name) if since.just else None
    ended = _outcomes(group)
    then = _outcomes(before) if before else {}
    risen = {outcome: rise(count, then.get(outcome)) for outcome, count in ended.items()}
    total, proxy = took.groups.get(group.name, _NOTHING), took.proxy.get(group.name, _NOTHING)
    writes = group.writes
    return _known(
        type=group.type.value,
        usable=group.usable,
        rate=_per_second(sum(risen.values()), seconds),
        outcomes={outcome: _per_second(count, seconds) for outcome, count in risen.items() if count and seconds},
        requests=sum(ended.values()),
        p50_ms=total.p50,
        p99_ms=total.p99,
        proxy_p99_ms=proxy.p99,
        outstanding=sum(device.outstanding for device in group.devices),
        queued=group.queued,
        sessions=group.sessions,
        pinned=sum(group.pinned.values()),
        resent=sum(group.retries.values()),
        failovers=group.failovers,
        would_block=group.would_block,
        logins=dict(group.logins),
        writes=_known(
            queued=writes.queued,
            under_way=writes.under_way,
            last_sequence=writes.last_sequence,
            behind=dict(writes.behind),
            in_doubt=list(writes.in_doubt),
            promoted=writes.promoted,
        ),
        devices=_devices(group, since, took, seconds),
        commands={entry.command: _command(group.name, entry, since, took, seconds) for entry in group.commands},
    )


def _devices(group: GroupSnapshot, since: Since, took: Latencies, seconds: float | None) -> Values:
    before = since.just.devices if since.just else {}
    sent: dict[str, int] = {}
    for device in group.devices:
        then = before.get((group.name, device.name))
        sent[device.name] = rise(device.requests, then.requests if then else None)
    total = sum(sent.values())
    shares = {name: round(count / total, 3) for name, count in sent.items()} if total and seconds else {}
    return {
        device.name: _device(
            device,
            rate=_per_second(sent[device.name], seconds),
            share=shares.get(device.name),
            took=took.devices.get((group.name, device.name), _NOTHING),
            slower=took.slower.get((group.name, device.name)),
        )
        for device in group.devices
    }


def _device(
    device: DeviceSnapshot, *, rate: float | None, share: float | None, took: Percentiles, slower: float | None
) -> Values:
    likeness = device.likeness
    return _known(
        address=device.address,
        role=device.role.value,
        will=device.will.value,
        health=device.health.value,
        in_service=device.in_service,
        reason=device.reason,
        since=round(device.since, 1),
        weight=device.weight,
        outstanding=device.outstanding,
        limit=device.limit,
        licence=device.rate,
        throttled=device.throttled,
        rate=rate,
        share=share,
        requests=device.requests,
        errors=device.errors,
        outcomes=dict(device.outcomes),
        p50_ms=took.p50,
        p99_ms=took.p99,
        slower=slower,
        ping_ms=milliseconds(device.last_ping),
        connections=dict(device.connections),
        ejections=dict(device.ejections),
        likeness=likeness.state.value,
        differs=list(likeness.differs),
        behind=device.behind,
    )


def _command(group: str, command: CommandSnapshot, since: Since, took: Latencies, seconds: float | None) -> Values:
    place = (group, command.command)
    just = since.just.commands.get(place) if since.just else None
    minute = since.minute.commands.get(place) if since.minute else None
    requests, refused = sum(command.outcomes.values()), _refused(command)
    percentiles = took.commands.get(place, _NOTHING)
    return _known(
        rate=_per_second(rise(requests, sum(just.outcomes.values()) if just else None), seconds),
        requests=rise(requests, sum(minute.outcomes.values()) if minute else None),
        refused=rise(refused, _refused(minute) if minute else None),
        outcomes={name: count for name, count in command.outcomes.items() if count},
        p50_ms=percentiles.p50,
        p99_ms=percentiles.p99,
    )


def _listener(listener: ListenerSnapshot) -> Values:
    return {
        "bind": listener.bind,
        "group": listener.group,
        "connections": dict(listener.connections),
        "handshaking": listener.handshaking,
        "handshakes": dict(listener.handshakes),
    }


def _worker(worker: WorkerSnapshot) -> Values:
    return {
        "up": worker.up,
        "started": round(worker.started, 1),
        "restarts": worker.restarts,
        "connections": worker.connections,
        "outstanding": worker.outstanding,
        "memory": worker.memory >> 20 << 20,  # whole MiB: it changes all the time by less
    }


def _outcomes(group: GroupSnapshot) -> dict[str, int]:
    total: dict[str, int] = {}
    for command in group.commands:
        for outcome, count in command.outcomes.items():
            total[outcome] = total.get(outcome, 0) + count
    return total


def _refused(command: CommandSnapshot) -> int:
    return sum(command.outcomes.get(outcome, 0) for outcome in _REFUSED)


def _known(**values: object) -> Values:
    return {name: value for name, value in values.items() if value is not None}


def _per_second(count: int, seconds: float | None) -> float | None:
    return None if not seconds else round(count / seconds, 1)


_NOTHING: Final = Percentiles()
