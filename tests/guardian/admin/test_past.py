"""Earlier snapshots: which one a rate or a percentile is compared with, and how many are kept."""

from __future__ import annotations

import pytest

from guardian.admin.past import Moment, Past, histogram_since, rise
from tests.support import operable


def watched_for(seconds: float, every: float = 0.2) -> Past:
    past, snapshot = Past(), operable.proxy()
    for tick in range(int(seconds / every) + 1):
        past.keep(Moment(tick * every, snapshot))
    return past


def test_nothing_is_there_to_compare_with_at_first() -> None:
    since = Past().since(100.0)
    assert (since.just, since.lately, since.minute) == (None, None, None)


def test_a_rate_covers_one_to_two_seconds() -> None:
    for later in (30.0, 30.4, 30.99):
        just = watched_for(30.0).since(later).just
        assert just is not None
        assert 1.0 <= later - just.at < 2.0


def test_percentiles_cover_ten_seconds_and_a_minute() -> None:
    since = watched_for(200.0).since(200.0)
    assert since.lately is not None
    assert since.minute is not None
    assert 9.0 <= 200.0 - since.lately.at <= 10.0
    assert 50.0 <= 200.0 - since.minute.at <= 60.0


def test_what_is_kept_is_bounded() -> None:
    assert len(watched_for(600.0)) <= 20


@pytest.mark.parametrize(("now", "then", "grown"), [(12, 5, 7), (12, None, 12), (3, 12, 3), (5, 5, 0)])
def test_a_counter_that_shrank_has_begun_anew(now: int, then: int | None, grown: int) -> None:
    assert rise(now, then) == grown


def test_a_histogram_that_shrank_has_begun_anew() -> None:
    before, after = operable.histogram(0.005, 0.005, 0.2), operable.histogram(0.005)
    assert histogram_since(after, before) == after
    assert histogram_since(before, after).count == 2
    assert histogram_since(after, None) == after
