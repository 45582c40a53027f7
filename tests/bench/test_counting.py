from __future__ import annotations

from pathlib import Path

import pytest

from bench.counting import CannotCount, _in_order, _total, per_request


def test_what_is_done_once_for_each_run_does_not_count() -> None:
    # Before, one length, between, twice that length: 5,000 once and 100 for each request.
    totals = [9_999_999, 5_000 + 64 * 100, 777, 5_000 + 128 * 100, 123, 10, 0, 12]
    assert per_request(totals, {"a": 64, "b": 2}) == {"a": 100.0, "b": 1.0}


def test_a_mark_too_many_or_too_few_is_said() -> None:
    with pytest.raises(CannotCount, match="4 parts were expected, callgrind wrote 3"):
        per_request([1, 2, 3], {"a": 64})


def test_parts_are_taken_by_number(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"part.{number}").write_text(f"version: 1\nevents: Ir\nsummary: {number}00\n")
    (tmp_path / "part").write_text("what came after the last mark")
    assert [_total(path) for path in _in_order(tmp_path / "part")] == [100, 200, 1000]
