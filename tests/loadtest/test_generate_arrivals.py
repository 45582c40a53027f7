from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.generate.arrivals import Share, arrivals, stretches
from loadtest.generate.scenario import Phase


def moments(*phases: Phase, share: Share | None = None, chance: Random | None = None) -> list[float]:
    return list(arrivals(phases, share or Share(), chance))


def test_a_steady_rate_arrives_evenly_from_the_start() -> None:
    assert moments(Phase(duration=1.0, rate=4)) == pytest.approx([0.0, 0.25, 0.5, 0.75])


def test_a_ramp_has_the_mean_of_its_ends_and_grows_denser() -> None:
    found = moments(Phase(duration=10.0, rate=0, to_rate=100))
    assert len(found) == 500
    assert sum(moment < 5 for moment in found) == 125, "a quarter in the first half"
    assert found[-1] - found[-2] == pytest.approx(0.01, rel=0.01)


def test_a_ramp_may_go_down() -> None:
    found = moments(Phase(duration=10.0, rate=100, to_rate=0))
    assert len(found) == 500
    assert sum(moment < 5 for moment in found) == 375
    assert max(found) <= 10


def test_phases_follow_each_other_without_a_gap() -> None:
    found = moments(Phase(duration=1.0, rate=10), Phase(duration=1.0, rate=0), Phase(duration=1.0, rate=10))
    assert found == pytest.approx([number / 10 for number in (*range(10), *range(20, 30))])


def test_bursts_come_at_one_moment_among_the_others() -> None:
    found = moments(Phase(duration=2.0, rate=2, burst=3, every=1.0))
    assert found == pytest.approx([0, 0, 0, 0, 0.5, 1, 1, 1, 1, 1.5], abs=0.001)
    assert moments(Phase(duration=1.0, burst=2), Phase(duration=1.0, burst=1)) == [0, 0.00005, 1]


def test_poisson_arrivals_have_their_rate_and_exponential_gaps() -> None:
    found = moments(Phase(duration=100.0, rate=100), chance=Random(7))
    gaps = [after - before for before, after in itertools.pairwise(found)]
    assert len(found) == pytest.approx(10_000, rel=0.05)
    assert sum(gap > 0.01 for gap in gaps) / len(gaps) == pytest.approx(0.3679, rel=0.05), "1/e are over the mean"


phases = st.builds(
    Phase,
    duration=st.floats(0.1, 5),
    rate=st.floats(0, 200),
    to_rate=st.none() | st.floats(0, 200),
    burst=st.none() | st.integers(1, 20),
    every=st.none() | st.floats(0.1, 2),
)


@settings(deadline=None, max_examples=50)
@given(st.lists(phases, min_size=1, max_size=3), st.integers(1, 5))
def test_the_shares_of_all_processes_are_the_whole(asked: list[Phase], count: int) -> None:
    whole = moments(*asked)
    parts = [moments(*asked, share=Share(index=index, count=count)) for index in range(count)]
    # Of a burst each process sends its part as fast as it can.
    assert sorted(itertools.chain(*parts)) == pytest.approx(whole, abs=20 * 0.00005)
    assert all(part == sorted(part) for part in parts)
    assert all(0 <= moment <= sum(phase.duration for phase in asked) + 0.001 for moment in whole)


def test_shares_of_poisson_arrivals_have_the_rate_together() -> None:
    parts = [
        moments(Phase(duration=100.0, rate=50), share=Share(index=index, count=4), chance=Random(index))
        for index in range(4)
    ]
    assert sum(map(len, parts)) == pytest.approx(5000, rel=0.06)


def test_clients_of_a_closed_loop_ramp() -> None:
    (stretch,) = stretches([Phase(duration=10.0, clients=0, to_clients=8)])
    assert [stretch.clients(moment, 8) for moment in (0, 5, 10)] == [0, 4, 8]
    (stretch,) = stretches([Phase(duration=10.0)])
    assert stretch.clients(0.0, 8) == 8
