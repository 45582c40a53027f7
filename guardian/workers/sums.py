"""Counts of several processes as those of one. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from balancer.exemplar import Exemplar
from balancer.snapshot import HistogramSnapshot

_WORKERS: Final = 100  # there are at most 64


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Key by key; in the order in which the keys come first."""
    found: dict[str, int] = {}
    for each in counts:
        for key, count in each.items():
            found[key] = found.get(key, 0) + count
    return found


def least(numbers: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The smallest number of each key."""
    found: dict[str, int] = {}
    for each in numbers:
        for key, number in each.items():
            found[key] = min(number, found.get(key, number))
    return found


def latest(shown: Iterable[Mapping[str, Exemplar]]) -> dict[str, Exemplar]:
    """The latest exemplar of each key."""
    found: dict[str, Exemplar] = {}
    for each in shown:
        for key, one in each.items():
            if key not in found or one.at > found[key].at:
                found[key] = one
    return found


def numbered(one: Exemplar, worker: int) -> Exemplar:
    """As the whole shows it; ``worker``: its number, or 0 where it was numbered before."""
    return attrs.evolve(one, completion=completion_number(one.completion, worker)) if worker else one


def completion_number(completion: int, worker: int) -> int:
    """Each worker counts the answers of its own: the last two digits say whose it is, so that no two are the same."""
    return completion * _WORKERS + worker


def summed(parts: Sequence[HistogramSnapshot]) -> HistogramSnapshot:
    """Of at least one. Each bucket keeps its latest exemplar.

    Where their buckets differ, as between two configurations, the sum has those bounds that all have: it says less,
    and nothing wrong.
    """
    bounds = parts[0].bounds
    if any(part.bounds != bounds for part in parts):
        common = set.intersection(*(set(part.bounds) for part in parts))
        bounds = tuple(bound for bound in bounds if bound in common)
        parts = [_coarser(part, bounds) for part in parts]
    exemplars: dict[int, Exemplar] = {}
    for part in parts:
        for bucket, one in part.exemplars.items():
            if bucket not in exemplars or one.at > exemplars[bucket].at:
                exemplars[bucket] = one
    return HistogramSnapshot(
        bounds=bounds,
        counts=tuple(map(sum, zip(*(part.counts for part in parts), strict=True))),
        total=sum(part.total for part in parts),
        exemplars=exemplars,
    )


def _coarser(part: HistogramSnapshot, bounds: tuple[float, ...]) -> HistogramSnapshot:
    """``bounds``: some of its own."""
    counts = [0] * (len(bounds) + 1)
    for bound, count in zip((*part.bounds, float("inf")), part.counts, strict=True):
        counts[bisect_left(bounds, bound)] += count
    shown: dict[int, Exemplar] = {}
    for one in part.exemplars.values():
        bucket = bisect_left(bounds, one.value)
        if bucket not in shown or one.at > shown[bucket].at:
            shown[bucket] = one
    return HistogramSnapshot(bounds=bounds, counts=tuple(counts), total=part.total, exemplars=shown)
