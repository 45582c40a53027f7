from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cost import LearntCosts


def test_nothing_is_known_of_what_was_never_seen() -> None:
    assert LearntCosts().expected(b"ECHO", 0.0) is None


def test_the_first_observation_counts_whole_and_later_ones_move_it() -> None:
    costs = LearntCosts()
    costs.learn(b"ECHO", 0.010, 0.0)
    assert costs.expected(b"ECHO", 0.0) == 0.010
    costs.learn(b"ECHO", 0.020, 0.0)
    assert costs.expected(b"ECHO", 0.0) == pytest.approx(0.012)
    assert costs.expected(b"GRSA", 0.0) is None


@given(st.lists(st.floats(0.0001, 10.0), min_size=1, max_size=50))
def test_it_stays_between_the_least_and_the_most_seen(seen: list[float]) -> None:
    costs = LearntCosts()
    for seconds in seen:
        costs.learn(b"ECHO", seconds, 0.0)
    expected = costs.expected(b"ECHO", 0.0)
    assert expected is not None
    assert min(seen) - 1e-9 <= expected <= max(seen) + 1e-9


def test_it_stays_for_a_second_and_then_halves_every_two() -> None:
    costs = LearntCosts()
    costs.learn(b"ECHO", 0.016, 100.0)
    known = [costs.expected(b"ECHO", now) for now in (100.0, 101.0, 103.0, 105.0, 107.0)]
    assert known == pytest.approx([0.016, 0.016, 0.008, 0.004, 0.002])


def test_what_is_learnt_after_a_while_starts_from_what_was_not_forgotten() -> None:
    costs = LearntCosts()
    costs.learn(b"ECHO", 0.016, 100.0)
    costs.learn(b"ECHO", 0.018, 103.0)
    assert costs.expected(b"ECHO", 103.0) == pytest.approx(0.008 + 0.2 * 0.010)


def test_for_ever_is_no_error() -> None:
    costs = LearntCosts()
    costs.learn(b"ECHO", 0.016, 0.0)
    assert costs.expected(b"ECHO", 1e9) == pytest.approx(0.0)
