"""Looks by turns: together as often as one process would, whatever has made them all look at once."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from health.rota import Rota

everies = st.floats(0.5, 60.0)
nows = st.floats(0.0, 1e6)


@given(count=st.integers(2, 64), every=everies, now=nows)
def test_after_all_have_looked_at_once_they_are_spread_again(count: int, every: float, now: float) -> None:
    looks = sorted([now, *(now + Rota(number, count).wait(every, now) for number in range(1, count + 1))])
    gaps = [later - earlier for earlier, later in pairwise(looks)]
    assert min(gaps) >= every * 0.49
    assert max(gaps) <= every * 1.51


@given(count=st.integers(2, 64), number=st.integers(1, 64), every=everies, late=st.floats(-0.2, 0.2), now=nows)
def test_each_looks_once_in_a_round_also_when_it_comes_early_or_late(
    count: int, number: int, every: float, late: float, now: float
) -> None:
    rota = Rota(min(number, count), count)
    turn = now + rota.wait(every, now)
    following = turn + late * every
    assert abs(following + rota.wait(every, following) - turn - count * every) < 1e-3 * every


@given(every=everies, now=nows)
def test_one_process_looks_at_its_own_pace(every: float, now: float) -> None:
    assert Rota().wait(every, now) == every
