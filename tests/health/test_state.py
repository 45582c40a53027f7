from __future__ import annotations

import itertools

import pytest

from health.state import TRANSITIONS, Health, Signal


@pytest.mark.parametrize(("health", "signal"), list(itertools.product(Health, Signal)))
def test_every_pair_is_decided(health: Health, signal: Signal) -> None:
    assert isinstance(TRANSITIONS[health][signal], Health)


def test_nothing_else_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(Health)
    assert all(set(row) == set(Signal) for row in TRANSITIONS.values())


def test_who_once_failed_comes_up_by_a_real_answer_only() -> None:
    ways_up = {(before, signal) for before in Health for signal in Signal if TRANSITIONS[before][signal] is Health.UP}
    assert {pair for pair in ways_up if pair[0] is not Health.UP} == {
        (Health.UNKNOWN, Signal.ROSE),
        (Health.PROBATION, Signal.PROVED),
    }


def test_an_unsafe_device_is_let_out_by_its_identity_only() -> None:
    out = {signal for signal in Signal if TRANSITIONS[Health.UNSAFE][signal] is not Health.UNSAFE}
    assert out == {Signal.CLEARED}
    assert TRANSITIONS[Health.UNSAFE][Signal.CLEARED] is Health.UNKNOWN


@pytest.mark.parametrize("health", Health)
def test_a_wrong_identity_counts_whatever_was_believed(health: Health) -> None:
    assert TRANSITIONS[health][Signal.DISTRUSTED] is Health.UNSAFE


def test_every_state_can_be_reached_and_left() -> None:
    for health in Health:
        assert any(TRANSITIONS[other][signal] is health for other in Health if other is not health for signal in Signal)
        assert any(TRANSITIONS[health][signal] is not health for signal in Signal)
