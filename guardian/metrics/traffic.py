"""What came of requests, by group and command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import Metric

from balancer.snapshot import GroupSnapshot, Outcome

from .families import add_all, as_exemplar, counter, gauge, histogram, observe

# Shown as 0 before the first one: rate() cannot see the step from "no series" to 1.
_OUTCOMES: Final = tuple(outcome.value for outcome in Outcome)
_RETRY_REASONS: Final = ("not_written", "lost", "timeout", "bad_answer")
_LOGIN_RESULTS: Final = ("ok", "refused", "limited", "replayed", "replay_refused", "expired")
_WRITE_RESULTS: Final = ("ok", "refused", "short", "in_doubt", "not_sent", "rejected")


def traffic(groups: Iterable[GroupSnapshot]) -> Iterator[Metric]:
    groups = tuple(groups)
    yield from _requests(groups)
    yield from _queues(groups)
    yield from _retries(groups)
    yield from _clients_state(groups)
    yield from _writes(groups)


def _requests(groups: Iterable[GroupSnapshot]) -> Iterator[Metric]:
    requests = counter("guardian_requests", "Requests by how they ended.", "group", "command", "outcome")
    duration = histogram(
        "guardian_request_duration_seconds", "From the request read to the answer written.", "group", "command"
    )
    proxy = histogram(
        "guardian_proxy_duration_seconds",
        "From the request read to the answer written, less the time the device had it.",
        "group",
    )
    for group in groups:
        for command in group.commands:
            for outcome, count in {**dict.fromkeys(_OUTCOMES, 0), **command.outcomes}.items():
                latest = command.latest.get(outcome)
                shown = None if latest is None else as_exemplar(latest, "client", "device")
                requests.add_metric((group.name, command.command, outcome), count, exemplar=shown)
            observe(duration, (group.name, command.command), command.duration, "client", "device", "outcome")
        observe(proxy, (group.name,), group.proxy_duration, "client", "device", "command")
    yield from (requests, duration, proxy)


def _queues(groups: Iterable[GroupSnapshot]) -> Iterator[Metric]:
    queued = gauge("guardian_queued", "Requests that wait for a device.", "group")
    size = gauge("guardian_queue_size", "How many requests may wait.", "group")
    duration = histogram(
        "guardian_queue_duration_seconds", "How long requests waited that did not find a device with room.", "group"
    )
    for group in groups:
        queued.add_metric((group.name,), group.queued)
        size.add_metric((group.name,), group.queue_size)
        if group.queue_duration is not None:
            observe(duration, (group.name,), group.queue_duration)
    yield from (queued, size, duration)


def _retries(groups: Iterable[GroupSnapshot]) -> Iterator[Metric]:
    retries = counter("guardian_retries", "Requests sent again, by why.", "group", "reason")
    left = gauge("guardian_retries_left", "Resends that the budget still allows.", "group")
    refused = counter("guardian_retries_refused", "Resends that the budget did not allow.", "group")
    failovers = counter("guardian_failovers", "A backup came into service for a lost device.", "group")
    for group in groups:
        add_all(retries, (group.name,), group.retries, _RETRY_REASONS)
        left.add_metric((group.name,), group.retries_left)
        refused.add_metric((group.name,), group.retries_refused)
        failovers.add_metric((group.name,), group.failovers)
    yield from (retries, left, refused, failovers)


def _clients_state(groups: Iterable[GroupSnapshot]) -> Iterator[Metric]:
    would_block = counter("guardian_would_block", "Requests that the mode detect let pass.", "group")
    pinned = gauge("guardian_pinned_clients", "Clients pinned to one device.", "group")
    sessions = gauge("guardian_sessions", "Logins that clients have, shared ones counted once.", "group")
    logins = counter("guardian_logins", "Logins by how they ended.", "group", "result")
    for group in groups:
        would_block.add_metric((group.name,), group.would_block)
        pinned.add_metric((group.name,), sum(group.pinned.values()))  # its keys are the clients' choice
        sessions.add_metric((group.name,), group.sessions)
        add_all(logins, (group.name,), group.logins, _LOGIN_RESULTS)
    yield from (would_block, pinned, sessions, logins)


def _writes(groups: Iterable[GroupSnapshot]) -> Iterator[Metric]:
    writes = counter("guardian_writes", "Writes by what came of them.", "group", "result")
    in_doubt = gauge("guardian_writes_in_doubt", "Devices that may have a write which nobody is sure of.", "group")
    for group in groups:
        add_all(writes, (group.name,), group.writes.results, _WRITE_RESULTS)
        in_doubt.add_metric((group.name,), len(group.writes.in_doubt))
    yield from (writes, in_doubt)
