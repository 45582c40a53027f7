"""A snapshot as text, in the format that a scraper asks for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from balancer.snapshot import ProxySnapshot

from .devices import devices
from .process import process
from .traffic import traffic
from .workers import workers

_STRETCH: Final = 8  # samples, of about 10 to 20 µs each
_REST: Final = 5.0  # times as long as a stretch took: the loop then finds the interpreter free five times out of six
_LEAST: Final = 0.0001  # seconds of each pause
_T = TypeVar("_T")
_PATIENCE: Final = 0.6  # seconds of all pauses of one rendering, beside the least: a scraper waits for it


class SnapshotCollector(Collector):
    """Shows one snapshot to prometheus-client. Touches nothing of the running proxy, so any thread may use it."""

    def __init__(self, snapshot: ProxySnapshot, version: str) -> None:
        self._snapshot = snapshot
        self._version = version

    def collect(self) -> Iterator[Metric]:
        pace = _Pace()
        for part in (
            process(self._snapshot, self._version),
            traffic(self._snapshot.groups, lambda commands: pace.over(commands, 1)),  # thirty samples each
            devices(self._snapshot.groups),
            workers(self._snapshot.workers),
        ):
            for metric in part:
                metric.samples = _Unhurried(metric.samples, pace)
                yield metric


class _Pace:
    """How long one rendering still waits for others."""

    def __init__(self) -> None:
        self._left = _PATIENCE
        self._since = time.perf_counter()

    def over(self, entries: Iterable[_T], stretch: int) -> Iterator[_T]:
        """The same, with a rest after each so many."""
        for number, entry in enumerate(entries, 1):
            yield entry
            if number % stretch == 0:
                self._rest()

    def _rest(self) -> None:
        pause = max(_LEAST, min(_REST * (time.perf_counter() - self._since), self._left))
        self._left -= pause
        time.sleep(pause)
        self._since = time.perf_counter()


class _Unhurried(list[Sample]):
    """Samples; whoever goes through them lets the loop have the interpreter now and then, and not only half of it."""

    def __init__(self, samples: Iterable[Sample], pace: _Pace) -> None:
        super().__init__(samples)
        self._pace = pace

    def __iter__(self) -> Iterator[Sample]:
        return self._pace.over(super().__iter__(), _STRETCH)


def render(snapshot: ProxySnapshot, version: str, accept: str) -> tuple[bytes, str]:
    """The whole exposition and its content type, in the format that the `Accept` header asks for.

    Takes milliseconds for thousands of series: call it in a thread.
    """
    encode, kind = _encoder(accept)
    return encode(SnapshotCollector(snapshot, version)), kind


def content_type(accept: str) -> str:
    """Of the text that `render` would give: two with the same are in the same format."""
    return _encoder(accept)[1]


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # prometheus-client compares a version such as "x" with numbers
        return generate_latest, choose_encoder("")[1]
