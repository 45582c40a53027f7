"""Families of samples as prometheus-client shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily, HistogramMetricFamily

from balancer import exemplar
from balancer.snapshot import HistogramSnapshot

_LONGEST_NAME: Final = 32  # characters: OpenMetrics allows 128 for all labels of an exemplar, names included


def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    """Its samples are called `name` and `_total`."""
    return CounterMetricFamily(name, text, labels=labels)


def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def histogram(name: str, text: str, *labels: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, text, labels=labels)


def add_all(
    family: CounterMetricFamily | GaugeMetricFamily,
    labels: tuple[str, ...],
    values: Mapping[str, float],
    always: Iterable[str] = (),
) -> None:
    """One sample per entry, its key as the last label; 0 for a key of `always` that is not there."""
    for key, value in {**dict.fromkeys(always, 0), **values}.items():
        family.add_metric((*labels, key), value)


def add_state(family: GaugeMetricFamily, labels: tuple[str, ...], state: str, states: Iterable[str]) -> None:
    """One sample for each state, 1 for the one that it is in."""
    for each in states:
        family.add_metric((*labels, each), int(each == state))


def observe(family: HistogramMetricFamily, labels: tuple[str, ...], counted: HistogramSnapshot, *shown: str) -> None:
    """Add a histogram's samples; Prometheus wants each bucket to hold all values up to its bound.

    ``shown``: what an exemplar says of its request, beside its number.
    """
    buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    seen = 0
    for bucket, (bound, count) in enumerate(zip((*counted.bounds, float("inf")), counted.counts, strict=True)):
        seen += count
        le = "+Inf" if bound == float("inf") else repr(float(bound))
        one = counted.exemplars.get(bucket)
        buckets.append((le, seen) if one is None else (le, seen, as_exemplar(one, *shown)))
    family.add_metric(labels, buckets, counted.total)


def as_exemplar(one: exemplar.Exemplar, *shown: str) -> Exemplar:
    """Only in OpenMetrics; the text format leaves them out."""
    said = {name: str(getattr(one, name))[:_LONGEST_NAME] for name in shown}
    labels = {name: value for name, value in said.items() if value}
    return Exemplar({**labels, "completion": str(one.completion)}, one.value, one.at)
