"""A snapshot as text, in the format that a scraper asks for."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.registry import Collector

from balancer.snapshot import ProxySnapshot

from .devices import devices
from .process import OwnFigure, process
from .traffic import traffic
from .workers import workers

_LEVEL: Final = 3  # of gzip: a tenth of the size


@attrs.frozen(kw_only=True)
class Text:
    kind: str  # content type
    zipped: bytes  # by gzip
    cost: float  # seconds of CPU that it took


class SnapshotCollector(Collector):
    """Shows one snapshot to prometheus-client. Touches nothing of the running proxy, so any thread may use it."""

    def __init__(self, snapshot: ProxySnapshot, version: str, own: Iterable[OwnFigure]) -> None:
        self._own = own
        self._snapshot = snapshot
        self._version = version

    def collect(self) -> Iterator[Metric]:
        yield from process(self._snapshot, self._version, self._own)
        yield from traffic(self._snapshot.groups)
        yield from devices(self._snapshot.groups)
        yield from workers(self._snapshot.workers)


def render(snapshot: ProxySnapshot, version: str, accept: str, own: Iterable[OwnFigure] = ()) -> tuple[bytes, str]:
    """The whole exposition and its content type, in the format that the `Accept` header asks for.

    ``own``: of the process that serves.

    Takes a tenth of a second for thousands of series: never call it on the loop.
    """
    encode, kind = _encoder(accept)
    return encode(SnapshotCollector(snapshot, version, own)), kind


def compressed(snapshot: ProxySnapshot, version: str, accept: str, own: Iterable[OwnFigure]) -> Text:
    """The same, by gzip."""
    began = time.thread_time()
    text, kind = render(snapshot, version, accept, own)
    zipped = gzip.compress(text, _LEVEL, mtime=0)
    return Text(kind=kind, zipped=zipped, cost=time.thread_time() - began)


def content_type(accept: str) -> str:
    """Of the text that `render` would give: two with the same are in the same format."""
    return _encoder(accept)[1]


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # prometheus-client compares a version such as "x" with numbers
        return generate_latest, choose_encoder("")[1]
