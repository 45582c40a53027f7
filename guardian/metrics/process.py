"""The proxy itself: what runs, whether it is ready, its listeners, files and log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs
from prometheus_client import ProcessCollector
from prometheus_client.core import InfoMetricFamily, Metric

from balancer.snapshot import ListenerSnapshot, ProxySnapshot, ProxyState
from guardian.admin.status import unready
from guardian.installation import data_path

from .audit import audit
from .families import add_all, add_state, counter, gauge, histogram, observe

_CLIENT_KINDS: Final = ("shared", "session", "pinned")
_HANDSHAKES: Final = ("ok", "refused", "timeout", "crowded", "error")
_RELOADS: Final = ("ok", "failed")
_PROCESS: Final = ProcessCollector(registry=None)


@attrs.frozen(kw_only=True)
class OwnFigure:
    """One that Prometheus's clients all have: CPU, memory, descriptors."""

    name: str
    text: str
    counts: bool  # or it is a gauge
    value: float


def own_figures() -> tuple[OwnFigure, ...]:
    """Of this process. Reads files of /proc, as long as there are descriptors: not for the loop."""
    return tuple(
        OwnFigure(
            name=metric.name, text=metric.documentation, counts=metric.type == "counter", value=metric.samples[0].value
        )
        for metric in _PROCESS.collect()
    )


def process(snapshot: ProxySnapshot, version: str, own: Iterable[OwnFigure]) -> Iterator[Metric]:
    yield InfoMetricFamily("guardian_build", "What is running.", value={"version": version, "data_path": data_path()})
    yield from _readiness(snapshot)
    yield from _listeners(snapshot.listeners)
    yield from _files(snapshot)
    yield from _loop(snapshot)
    yield from audit(snapshot.audit)
    for figure in own:
        family = (counter if figure.counts else gauge)(figure.name, figure.text)
        family.add_metric((), figure.value)
        yield family


def _readiness(snapshot: ProxySnapshot) -> Iterator[Metric]:
    started = gauge("guardian_start_timestamp_seconds", "When it started (Unix time).")
    started.add_metric((), snapshot.started)
    ready = gauge("guardian_ready", "1 if it serves and every group has a usable device, as /readyz says.")
    ready.add_metric((), int(not unready(snapshot)))
    state = gauge("guardian_state", "1 for the state it is in.", "state")
    add_state(state, (), snapshot.state.value, (each.value for each in ProxyState))
    yield from (started, ready, state)


def _listeners(listeners: Iterable[ListenerSnapshot]) -> Iterator[Metric]:
    connections = gauge("guardian_client_connections", "Clients connected, by kind.", "listener", "kind")
    limit = gauge("guardian_client_connections_limit", "How many clients may be connected.", "listener")
    handshaking = gauge("guardian_tls_handshaking", "TLS handshakes with clients that go on now.", "listener")
    handshakes = counter("guardian_tls_handshakes", "TLS handshakes with clients.", "listener", "result")
    for listener in listeners:
        add_all(connections, (listener.name,), listener.connections, _CLIENT_KINDS)
        limit.add_metric((listener.name,), listener.limit)
        handshaking.add_metric((listener.name,), listener.handshaking)
        add_all(handshakes, (listener.name,), listener.handshakes, _HANDSHAKES)
    yield from (connections, limit, handshaking, handshakes)


def _files(snapshot: ProxySnapshot) -> Iterator[Metric]:
    expiry = gauge(
        "guardian_certificate_expiry_timestamp_seconds", "When a certificate, or its CRL, ends (Unix time).", "file"
    )
    update = gauge(
        "guardian_crl_next_update_timestamp_seconds", "When a CRL must have been replaced (Unix time).", "file"
    )
    reloads = counter("guardian_config_reloads", "Reloads of the configuration.", "result")
    add_all(expiry, (), snapshot.certificates)
    lists = snapshot.revocation_lists
    add_all(update, (), {file: end for file, end in snapshot.certificates.items() if file in lists})
    add_all(reloads, (), snapshot.reloads, _RELOADS)
    yield from (expiry, update, reloads)


def _loop(snapshot: ProxySnapshot) -> Iterator[Metric]:
    delay = histogram("guardian_loop_delay_seconds", "How late the loop ran what was due, looked at 50 times a second.")
    if snapshot.loop_delay is not None:
        observe(delay, (), snapshot.loop_delay)
    dropped = counter("guardian_log_lines_dropped", "Lines of the log that nobody took in time.")
    dropped.add_metric((), snapshot.lines_dropped)
    yield from (delay, dropped)
