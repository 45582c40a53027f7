"""`auto` is as many workers as there are cores to use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guardian.workers.cores import worker_count

_CORES = len(os.sched_getaffinity(0))


def test_a_number_is_that_many_however_many_cores_there_are(tmp_path: Path) -> None:
    assert [worker_count(each) for each in (1, 2, 64)] == [1, 2, 64]


@pytest.mark.parametrize(
    ("quota", "most"),
    [
        ("100000 100000", 1),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("max 100000", 64),
        ("nonsense", 64),
        ("1 0", 64),
    ],
)
def test_auto_is_the_cores_that_may_be_used(tmp_path: Path, quota: str, most: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert worker_count("auto", file) == min(_CORES, most)


def test_auto_without_a_quota_is_all_cores_of_the_process(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    assert worker_count("auto", tmp_path / "none") == min(_CORES, 64)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert worker_count("auto", tmp_path / "none") == 1
    finally:
        os.sched_setaffinity(0, allowed)
