from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.compare.cpu import (
    TICKS_PER_SECOND,
    CpuSample,
    ProcessTime,
    parse_machine_busy,
    parse_stat,
    read_processes,
    tree_seconds,
    wanted_seconds,
)

STAT = "4321 (%s) S 77 4321 4321 0 -1 4194560 1886 0 0 0 150 25 30 7 20 0 3 0 9214 231 1 18446744073709551615 1 1 0\n"


@pytest.mark.parametrize("name", ["haproxy", "a name", "a) S 1 (b", ") (", ""])
def test_a_process_is_read_whatever_its_name(name: str) -> None:
    assert parse_stat(STAT % name) == ProcessTime(pid=4321, parent=77, own=175, reaped=37)


def test_a_tree_is_its_root_its_descendants_and_who_of_them_has_ended() -> None:
    processes = {
        10: ProcessTime(pid=10, parent=1, own=100, reaped=7),
        11: ProcessTime(pid=11, parent=10, own=20, reaped=0),
        12: ProcessTime(pid=12, parent=11, own=3, reaped=1),
        13: ProcessTime(pid=13, parent=1, own=5000, reaped=0),
    }
    assert tree_seconds(processes, 10) * TICKS_PER_SECOND == pytest.approx(131)


def test_a_root_that_has_gone_is_an_error() -> None:
    with pytest.raises(KeyError):
        tree_seconds({}, 10)


def test_entries_of_proc_that_are_no_processes_or_go_away_are_left_out(tmp_path: Path) -> None:
    for name in ("4321", "9999", "self", "meminfo"):
        (tmp_path / name).mkdir()
    (tmp_path / "4321" / "stat").write_text(STAT % "x")
    assert list(read_processes(tmp_path)) == [4321]


def test_idle_and_waiting_for_a_disk_is_no_work() -> None:
    busy = parse_machine_busy("cpu  100 20 30 99999 88888 4 5 6 7 8\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
    assert busy * TICKS_PER_SECOND == pytest.approx(165)


def test_wanting_a_core_is_running_and_waiting_for_one(tmp_path: Path) -> None:
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "schedstat").write_text("1500000000 250000000 42\n")
    assert wanted_seconds(5, tmp_path) == pytest.approx(1.75)
    assert wanted_seconds(6, tmp_path) == 0.0


def test_work_of_a_child_counts_while_it_lives_and_after_it_was_waited_for() -> None:
    before = CpuSample.take([os.getpid()])
    work = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        living = CpuSample.take([os.getpid()])
        child.communicate(b"\n")
    ended = CpuSample.take([os.getpid()])
    assert living.tree(os.getpid()) - before.tree(os.getpid()) >= 0.15
    assert ended.tree(os.getpid()) >= living.tree(os.getpid())
