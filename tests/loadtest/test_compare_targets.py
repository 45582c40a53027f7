from __future__ import annotations

import pytest

from loadtest.compare.figures import Spread
from loadtest.compare.readings import Readings
from loadtest.compare.scenarios import SCENARIOS
from loadtest.compare.targets import SAFE, TARGETS, Bound, Outcome, Target, judge

TARGET = Target(scenario="shared", title="a", figure="cpu", contender="ours", bound=Bound.AT_MOST, value=0.9)
LEAST = Target(scenario="shared", title="a", figure="cpu", contender="ours", bound=Bound.AT_LEAST, value=2.5)
NONE = Target(scenario="lost", title="a", figure="cpu", contender="ours", bound=Bound.AT_MOST, value=0, ratio=False)


def read(ours: list[float], haproxy: list[float]) -> Readings:
    readings = Readings()
    for name, values in (("haproxy", haproxy), ("ours", ours)):
        for turn, value in enumerate(values, 1):
            readings.add("cpu", name, turn, value)
    return readings


def test_a_ratio_is_of_one_round() -> None:
    readings = read([3.0, 4.0, 99.0], [2.0, 4.0])
    assert readings.ratios("cpu", "ours", "haproxy") == pytest.approx([1.5, 1.0])
    assert readings.ratio("cpu", "ours", "haproxy") == Spread(1.25, 1.0, 1.5)


def test_a_round_in_which_the_reference_has_nothing_gives_no_ratio() -> None:
    assert read([3.0, 2.0], [0.0, 4.0]).ratios("cpu", "ours", "haproxy") == [0.5]
    assert read([3.0], []).ratio("cpu", "ours", "haproxy") is None


@pytest.mark.parametrize(
    ("target", "ours", "outcome"),
    [
        (TARGET, [0.9, 0.7, 0.8], Outcome.MET),
        (TARGET, [0.95, 0.7, 0.8], Outcome.MEDIAN),
        (TARGET, [0.95, 0.91, 0.8], Outcome.MISSED),
        (LEAST, [2.5, 3.0, 2.6], Outcome.MET),
        (LEAST, [2.4, 3.0, 2.6], Outcome.MEDIAN),
        (LEAST, [2.4, 3.0, 2.3], Outcome.MISSED),
        (NONE, [0.0, 0.0, 0.0], Outcome.MET),
        (NONE, [0.0, 1.0, 0.0], Outcome.MISSED),  # what is never to happen has no median
        (TARGET, [], Outcome.UNKNOWN),
    ],
)
def test_a_target_is_met_in_every_round_or_by_the_median(target: Target, ours: list[float], outcome: Outcome) -> None:
    assert judge(target, read(ours, [1.0, 1.0, 1.0])).outcome is outcome


def test_a_target_without_a_reference_needs_none() -> None:
    assert judge(NONE, read([0.0], [])).outcome is Outcome.MET
    assert judge(TARGET, read([0.5], [])).outcome is Outcome.UNKNOWN


def test_every_target_is_measured_by_a_scenario() -> None:
    measured = {(scenario.name, figure.name) for scenario in SCENARIOS for figure in scenario.figures}
    assert {(target.scenario, target.figure) for target in TARGETS} <= measured


def test_figures_and_scenarios_have_names_of_their_own() -> None:
    figures = [figure.name for scenario in SCENARIOS for figure in scenario.figures]
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(figures)) == len(figures)
    assert len(set(names)) == len(names)


def test_nothing_may_be_lost() -> None:
    lost = [target for target in TARGETS if target.scenario == "lost"]
    assert [(target.figure, target.contender, target.value) for target in lost] == [
        ("lost.killed", SAFE, 0),
        ("lost.hung", SAFE, 0),
    ]
