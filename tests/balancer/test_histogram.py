from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.exemplar import Exemplar
from balancer.histogram import Histogram

BOUNDS = (0.001, 0.01, 0.1)


@given(st.lists(st.lists(st.floats(0.0, 1.0) | st.sampled_from(BOUNDS), max_size=20), max_size=5))
def test_each_value_is_in_the_first_bucket_that_holds_it(batches: list[list[float]]) -> None:
    histogram, expected = Histogram(BOUNDS), [0, 0, 0, 0]
    for batch in batches:
        for seconds in batch:
            histogram.record(seconds)
            expected[next((n for n, bound in enumerate(BOUNDS) if seconds <= bound), 3)] += 1
        snapshot = histogram.snapshot()
        assert list(snapshot.counts) == expected
    snapshot = histogram.snapshot()
    assert snapshot.count == sum(len(batch) for batch in batches)
    assert snapshot.total == pytest.approx(sum(sum(batch) for batch in batches))


def test_quantiles_are_linear_within_a_bucket_and_end_at_the_last_bound() -> None:
    histogram = Histogram(BOUNDS)
    assert histogram.snapshot().quantile(0.5) is None
    for seconds in (0.005, 0.005, 0.05, 5.0):
        histogram.record(seconds)
    snapshot = histogram.snapshot()
    assert [snapshot.quantile(share) for share in (0.25, 0.5, 0.75, 0.99)] == pytest.approx([0.0055, 0.01, 0.1, 0.1])


def test_since_is_what_came_later() -> None:
    histogram = Histogram(BOUNDS)
    histogram.record(0.005)
    earlier = histogram.snapshot()
    histogram.record(0.05)
    later = histogram.snapshot().since(earlier)
    assert later.counts == (0, 0, 1, 0)
    assert later.total == pytest.approx(0.05)


def test_a_snapshot_says_what_the_one_before_did_unless_something_changed() -> None:
    histogram = Histogram(BOUNDS)
    histogram.record(0.005)
    assert histogram.changed
    histogram.snapshot()
    assert not histogram.changed
    histogram.record(0.05)
    histogram.fold()
    assert histogram.changed
    histogram.snapshot()
    histogram.show(exemplar(0.05))
    assert histogram.changed
    histogram.snapshot()
    assert not histogram.changed


def test_an_exemplar_keeps_the_time_of_its_first_snapshot() -> None:
    """The clock's distance to Unix time is measured anew each time, and jitters."""
    histogram = Histogram(BOUNDS)
    histogram.show(exemplar(0.005))
    first = histogram.snapshot(1000.0).exemplars
    histogram.show(exemplar(0.05))
    second = histogram.snapshot(1000.1).exemplars
    assert first == {1: exemplar(0.005).moved(1000.0)}
    assert second == {**first, 2: exemplar(0.05).moved(1000.1)}


def exemplar(value: float) -> Exemplar:
    return Exemplar(value=value, at=7.0, client="a", device="b", command="ECHO", outcome="ok", completion=1)
