"""Prometheus metrics, made from a snapshot at each scrape: nothing is counted here.

Names, types and labels are a promise to dashboards and alerts; `docs/operations.md` lists them. Every label has a
bounded set of values: a command outside the catalogue is already `other` in the snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.registry import Collector

from balancer.histogram import HistogramSnapshot
from balancer.snapshot import Likeness, ProxySnapshot
from health.state import Health

# Shown as 0 before the first one: rate() cannot see the step from "no series" to 1.
_DEVICE_OUTCOMES: Final = ("ok", "device_error", "lost", "timeout", "bad_answer", "abandoned")
_RETRY_REASONS: Final = ("not_written", "lost", "timeout", "bad_answer")
_WRITE_RESULTS: Final = ("ok", "refused", "short", "in_doubt", "not_sent", "rejected")
_CLIENT_KINDS: Final = ("shared", "session", "pinned")
_HANDSHAKES: Final = ("ok", "refused", "timeout", "crowded", "error")
_CHECKS: Final = ("alike", "unlike", "unknown", "failed")
_RELOADS: Final = ("ok", "failed")


class SnapshotCollector(Collector):
    """Shows one snapshot to prometheus-client. Touches nothing of the running proxy, so any thread may use it."""

    def __init__(self, snapshot: ProxySnapshot, version: str) -> None:
        self._snapshot = snapshot
        self._version = version

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("guardian_build", "What is running.", value={"version": self._version})
        yield from self._requests()
        yield from self._groups()
        yield from self._devices()
        yield from self._device_states()
        yield from self._likeness()
        yield from self._clients()
        yield from self._configuration()
        yield from _PROCESS.collect()

    def _requests(self) -> Iterator[Metric]:
        requests = _counter("guardian_requests", "Requests by how they ended.", "group", "command", "outcome")
        duration = _histogram(
            "guardian_request_duration_seconds", "From the request read to the answer written.", "group", "command"
        )
        for group in self._snapshot.groups:
            for command in group.commands:
                for outcome, count in command.outcomes.items():
                    requests.add_metric((group.name, command.command, outcome), count)
                _observe(duration, (group.name, command.command), command.duration)
        yield requests
        yield duration

    def _groups(self) -> Iterator[Metric]:
        proxy = _histogram(
            "guardian_proxy_duration_seconds",
            "From the request read to the answer written, less the time the device had it.",
            "group",
        )
        retries = _counter("guardian_retries", "Requests sent again, by why.", "group", "reason")
        failovers = _counter("guardian_failovers", "A backup came into service for a lost device.", "group")
        would_block = _counter("guardian_would_block", "Requests that the mode detect let pass.", "group")
        queued = _gauge("guardian_queued", "Requests that wait for a device.", "group")
        pinned = _gauge("guardian_pinned_clients", "Clients pinned to one device.", "group")
        sessions = _gauge("guardian_sessions", "Logins that clients have, shared ones counted once.", "group")
        logins = _counter("guardian_logins", "Logins by how they ended.", "group", "result")
        writes = _counter("guardian_writes", "Writes by what came of them.", "group", "result")
        for group in self._snapshot.groups:
            _add_all(writes, (group.name,), group.writes.results, _WRITE_RESULTS)
            _observe(proxy, (group.name,), group.proxy_duration)
            _add_all(retries, (group.name,), group.retries, _RETRY_REASONS)
            failovers.add_metric((group.name,), group.failovers)
            would_block.add_metric((group.name,), group.would_block)
            queued.add_metric((group.name,), group.queued)
            pinned.add_metric((group.name,), sum(group.pinned.values()))  # its keys are the clients' choice
            sessions.add_metric((group.name,), group.sessions)
            for result, count in group.logins.items():
                logins.add_metric((group.name, result), count)
        yield from (proxy, retries, failovers, would_block, queued, pinned, sessions, logins, writes)

    def _devices(self) -> Iterator[Metric]:
        requests = _counter("guardian_device_requests", "Attempts by how they ended.", "group", "device", "outcome")
        duration = _histogram(
            "guardian_device_duration_seconds", "From the request written to the answer read.", "group", "device"
        )
        ejections = _counter(
            "guardian_ejections", "How often a device was ejected, by why.", "group", "device", "reason"
        )
        throttled = _counter("guardian_device_throttled", "How often a licensed rate was used up.", "group", "device")
        for group in self._snapshot.groups:
            for device in group.devices:
                labels = (group.name, device.name)
                if device.rate is not None:
                    throttled.add_metric(labels, device.throttled)
                _add_all(requests, labels, device.outcomes, _DEVICE_OUTCOMES)
                _observe(duration, labels, device.duration)
                _add_all(ejections, labels, device.ejections)
        yield from (requests, duration, ejections, throttled)

    def _device_states(self) -> Iterator[Metric]:
        outstanding = _gauge("guardian_device_outstanding", "Requests sent and not answered.", "group", "device")
        in_service = _gauge("guardian_device_in_service", "1 if the device gets requests now.", "group", "device")
        health = _gauge("guardian_device_health", "1 for the state the device is in.", "group", "device", "state")
        connections = _gauge(
            "guardian_device_connections", "Connections to a device, by state.", "group", "device", "state"
        )
        for group in self._snapshot.groups:
            for device in group.devices:
                labels = (group.name, device.name)
                outstanding.add_metric(labels, device.outstanding)
                in_service.add_metric(labels, int(device.in_service))
                for state in Health:
                    health.add_metric((*labels, state.value), int(device.health is state))
                _add_all(connections, labels, device.connections)
        yield from (outstanding, in_service, health, connections)

    def _likeness(self) -> Iterator[Metric]:
        likeness = _gauge(
            "guardian_device_likeness", "1 for what is known of it beside its group.", "group", "device", "state"
        )
        behind = _gauge("guardian_device_behind", "1 if its key table lacks a write.", "group", "device")
        checks = _counter("guardian_likeness_checks", "Checks by what came of them.", "group", "device", "result")
        for group in self._snapshot.groups:
            for device in group.devices:
                labels = (group.name, device.name)
                for state in Likeness:
                    likeness.add_metric((*labels, state.value), int(device.likeness.state is state))
                behind.add_metric(labels, int(device.behind))
                _add_all(checks, labels, device.likeness.results, _CHECKS)
        yield from (likeness, behind, checks)

    def _clients(self) -> Iterator[Metric]:
        connections = _gauge("guardian_client_connections", "Clients connected, by kind.", "listener", "kind")
        handshakes = _counter("guardian_tls_handshakes", "TLS handshakes with clients.", "listener", "result")
        for listener in self._snapshot.listeners:
            _add_all(connections, (listener.name,), listener.connections, _CLIENT_KINDS)
            _add_all(handshakes, (listener.name,), listener.handshakes, _HANDSHAKES)
        yield from (connections, handshakes)

    def _configuration(self) -> Iterator[Metric]:
        expiry = _gauge(
            "guardian_certificate_expiry_timestamp_seconds", "When a certificate, or its CRL, ends (Unix time).", "file"
        )
        reloads = _counter("guardian_config_reloads", "Reloads of the configuration.", "result")
        _add_all(expiry, (), self._snapshot.certificates)
        _add_all(reloads, (), self._snapshot.reloads, _RELOADS)
        yield from (expiry, reloads)


def render(snapshot: ProxySnapshot, version: str, accept: str) -> tuple[bytes, str]:
    """The whole exposition and its content type, in the format that the `Accept` header asks for.

    Takes milliseconds for thousands of series: call it in a thread.
    """
    encode: Callable[[Collector], bytes]
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # prometheus-client compares a version such as "x" with numbers
        encode, content_type = generate_latest, choose_encoder("")[1]
    return encode(SnapshotCollector(snapshot, version)), content_type


_PROCESS: Final = ProcessCollector(registry=None)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    """Its samples are called `name` and `_total`."""
    return CounterMetricFamily(name, text, labels=labels)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _histogram(name: str, text: str, *labels: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, text, labels=labels)


def _add_all(
    family: CounterMetricFamily | GaugeMetricFamily,
    labels: tuple[str, ...],
    values: Mapping[str, float],
    always: Iterable[str] = (),
) -> None:
    """One sample per entry, its key as the last label; 0 for a key of `always` that is not there."""
    for key, value in {**dict.fromkeys(always, 0), **values}.items():
        family.add_metric((*labels, key), value)


def _observe(family: HistogramMetricFamily, labels: tuple[str, ...], histogram: HistogramSnapshot) -> None:
    """Add a histogram's samples; Prometheus wants each bucket to hold all values up to its bound."""
    buckets: list[tuple[str, float]] = []
    seen = 0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        seen += count
        buckets.append(("+Inf" if bound == float("inf") else repr(float(bound)), seen))
    family.add_metric(labels, buckets, histogram.total)
