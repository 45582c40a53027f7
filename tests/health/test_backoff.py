from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from health.backoff import Backoff


def test_the_first_try_needs_no_wait() -> None:
    assert Backoff(Random(1)).wait(0.0) == 0.0


@given(seed=st.integers(0, 1000))
def test_waits_double_up_to_the_most_and_are_shortened_by_a_quarter_at_most(seed: int) -> None:
    backoff = Backoff(Random(seed), first=0.05, most=5.0)
    for n in range(60):
        backoff.failed(100.0)
        whole = min(0.05 * 2**n, 5.0)
        assert whole * 0.75 <= backoff.wait(100.0) <= whole + 1e-9


def test_time_makes_up_for_it() -> None:
    backoff = Backoff(Random(1), first=1.0)
    backoff.failed(10.0)
    assert backoff.wait(10.5) > 0.0
    assert backoff.wait(11.0) == 0.0


def test_an_answer_forgives_all() -> None:
    backoff = Backoff(Random(1))
    for _ in range(10):
        backoff.failed(0.0)
    backoff.succeeded()
    assert backoff.wait(0.0) == 0.0
    backoff.failed(0.0)
    assert backoff.wait(0.0) <= 0.05


def test_two_do_not_come_back_at_the_same_moment() -> None:
    waits = set()
    for seed in range(50):
        backoff = Backoff(Random(seed))
        backoff.failed(0.0)
        waits.add(backoff.wait(0.0))
    assert len(waits) > 40
