from __future__ import annotations

import pytest

from health.outlier import Tally, outliers


@pytest.mark.parametrize(
    ("tallies", "found"),
    [
        ({"a": Tally(100, 90), "b": Tally(100, 0)}, ["a"]),
        ({"a": Tally(100, 90), "b": Tally(100, 90)}, []),  # bad requests, not a bad device
        ({"a": Tally(100, 90), "b": Tally(100, 30)}, []),
        ({"a": Tally(100, 90), "b": Tally(100, 20)}, ["a"]),
        ({"a": Tally(100, 50), "b": Tally(100, 0)}, []),  # not above the limit
        ({"a": Tally(100, 51), "b": Tally(100, 0)}, ["a"]),
        ({"a": Tally(19, 19), "b": Tally(100, 0)}, []),  # too few answers to judge
        ({"a": Tally(20, 20), "b": Tally(100, 0)}, ["a"]),
        ({"a": Tally(100, 90), "b": Tally(19, 0)}, []),  # too few of its peers
        ({"a": Tally(100, 90), "b": Tally(10, 0), "c": Tally(10, 0)}, ["a"]),
        ({"a": Tally(100, 90), "b": Tally(100, 90), "c": Tally(2000, 0)}, ["a", "b"]),
        ({"a": Tally(100, 90)}, []),
        ({"a": Tally(0, 0), "b": Tally(0, 0)}, []),
        ({}, []),
    ],
)
def test_who_fails_what_its_peers_can_do(tallies: dict[str, Tally], found: list[str]) -> None:
    assert outliers(tallies, 0.5) == found
