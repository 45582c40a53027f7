from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardian.workers.spreading import pause, share

counts = st.lists(st.integers(0, 5000), max_size=8)


@given(ours=st.integers(0, 5000), others=counts)
def test_nobody_waits_who_has_no_more_than_the_others(ours: int, others: list[int]) -> None:
    if all(ours <= other for other in others):
        assert pause(ours, others) == 0.0


@given(ours=st.integers(0, 5000), others=counts)
def test_somebody_accepts_at_once_whatever_they_have(ours: int, others: list[int]) -> None:
    everybody = [ours, *others]
    assert any(
        pause(each, everybody[:number] + everybody[number + 1 :]) == 0.0 for number, each in enumerate(everybody)
    )


@given(ours=st.integers(0, 5000), others=counts)
def test_a_wait_is_bounded_and_then_somebody_is_let_in(ours: int, others: list[int]) -> None:
    assert 0.0 <= pause(ours, others) <= 0.01
    assert share(ours, others) >= 1


def test_who_has_clearly_more_waits() -> None:
    assert pause(1, [0]) > 0.0
    assert pause(12, [8, 8]) > 0.0
    assert pause(110, [100, 100]) > 0.0
    assert pause(101, [100, 100]) == pause(0, []) == pause(3, []) == 0.0


@given(connections=st.integers(1, 400), workers=st.integers(2, 8))
def test_a_burst_is_spread_whoever_is_quickest(connections: int, workers: int) -> None:
    """The first of the workers is always awake first, and takes what it may before the next look."""
    have = [0] * workers
    while connections:
        for number in range(workers):
            others = have[:number] + have[number + 1 :]
            if pause(have[number], others) == 0.0 and connections:
                taken = min(connections, share(have[number], others))
                have[number] += taken
                connections -= taken
                break
        else:
            raise AssertionError("nobody accepts")
    mean = sum(have) / workers
    assert max(have) <= mean * 1.05 + 1, have
