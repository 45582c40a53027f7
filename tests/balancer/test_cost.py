from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cost import LearntCosts


def test_nothing_is_known_of_what_was_never_seen() -> None:
    assert b"ECHO" not in LearntCosts().seconds


def test_the_first_observation_counts_whole_and_later_ones_move_it() -> None:
    costs = LearntCosts()
    costs.learn(b"ECHO", 0.010)
    assert costs.seconds[b"ECHO"] == 0.010
    costs.learn(b"ECHO", 0.020)
    assert costs.seconds[b"ECHO"] == pytest.approx(0.012)
    assert b"GRSA" not in costs.seconds


@given(st.lists(st.floats(0.0001, 10.0), min_size=1, max_size=50))
def test_it_stays_between_the_least_and_the_most_seen(seen: list[float]) -> None:
    costs = LearntCosts()
    for seconds in seen:
        costs.learn(b"ECHO", seconds)
    assert min(seen) - 1e-9 <= costs.seconds[b"ECHO"] <= max(seen) + 1e-9


def test_what_is_not_asked_halves_every_two_seconds() -> None:
    costs = LearntCosts()
    costs.learn(b"ECHO", 0.016)
    costs.decay(1.0)
    assert costs.seconds[b"ECHO"] == 0.016, "it was asked since the last call"
    for expected in (0.008, 0.004, 0.002):
        costs.decay(1.0)
        costs.decay(1.0)
        assert costs.seconds[b"ECHO"] == pytest.approx(expected)


def test_a_command_that_is_asked_does_not_keep_another() -> None:
    costs = LearntCosts()
    for code in (b"ECHO", b"GRSA"):
        costs.learn(code, 0.016)
    costs.decay(1.0)
    costs.learn(b"ECHO", 0.016)
    costs.decay(2.0)
    assert costs.seconds == pytest.approx({b"ECHO": 0.016, b"GRSA": 0.008})


def test_what_is_learnt_after_a_while_starts_from_what_was_not_forgotten() -> None:
    costs = LearntCosts()
    costs.learn(b"ECHO", 0.016)
    costs.decay(1.0)
    costs.decay(2.0)
    costs.learn(b"ECHO", 0.018)
    assert costs.seconds[b"ECHO"] == pytest.approx(0.008 + 0.2 * 0.010)


def test_for_ever_is_no_error() -> None:
    costs = LearntCosts()
    costs.learn(b"ECHO", 0.016)
    costs.decay(1.0)
    costs.decay(1e9)
    assert costs.seconds[b"ECHO"] == pytest.approx(0.0)
