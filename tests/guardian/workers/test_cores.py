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
    (tmp_path / "cpu.max").write_text(quota)
    assert worker_count("auto", tmp_path, tmp_path / "none") == min(_CORES, most)


@pytest.mark.parametrize("where", ["system.slice/guardian.service", "system.slice"])
def test_auto_knows_the_quota_of_a_service_and_of_its_slice(tmp_path: Path, where: str) -> None:
    (tmp_path / "system.slice" / "guardian.service").mkdir(parents=True)
    (tmp_path / "system.slice" / "guardian.service" / "cpu.max").write_text("max 100000\n")
    (tmp_path / where / "cpu.max").write_text("100000 100000\n")
    ours = tmp_path / "cgroup"
    ours.write_text("0::/system.slice/guardian.service\n")
    assert worker_count("auto", tmp_path, ours) == 1
    ours.write_text("0::/user.slice\n")
    assert worker_count("auto", tmp_path, ours) == min(_CORES, 64)


def test_auto_without_a_quota_is_all_cores_of_the_process(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    assert worker_count("auto", tmp_path / "none", tmp_path / "none") == min(_CORES, 64)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert worker_count("auto", tmp_path / "none", tmp_path / "none") == 1
    finally:
        os.sched_setaffinity(0, allowed)
