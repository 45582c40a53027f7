"""A snapshot as text, in the format that a scraper asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.registry import Collector

from balancer.snapshot import ProxySnapshot

from .devices import devices
from .process import process
from .traffic import traffic


class SnapshotCollector(Collector):
    """Shows one snapshot to prometheus-client. Touches nothing of the running proxy, so any thread may use it."""

    def __init__(self, snapshot: ProxySnapshot, version: str) -> None:
        self._snapshot = snapshot
        self._version = version

    def collect(self) -> Iterator[Metric]:
        yield from process(self._snapshot, self._version)
        yield from traffic(self._snapshot.groups)
        yield from devices(self._snapshot.groups)


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
