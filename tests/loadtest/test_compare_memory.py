from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.compare.memory import parse_pss, tree_pss

ROLLUP = "557ea1b1c000-7fffb7105000 ---p 00000000 00:00 0  [rollup]\nRss: 1596 kB\nPss:     249 kB\nPss_Dirty: 112 kB\n"


def test_pss_is_told_in_bytes() -> None:
    assert parse_pss(ROLLUP) == 249 * 1024


def test_what_has_no_pss_is_refused() -> None:
    with pytest.raises(ValueError, match="Pss"):
        parse_pss("Rss: 1 kB\n")


def test_children_count_too(tmp_path: Path) -> None:
    for pid, parent, size in ((7, 1, 100), (8, 7, 20), (9, 8, 3), (10, 1, 1000)):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} (x) S {parent} " + " ".join(["0"] * 30))
        (folder / "smaps_rollup").write_text(f"Pss: {size} kB\n")
    assert tree_pss(7, tmp_path) == 123 * 1024


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="this kernel has no smaps_rollup")
def test_a_real_process_has_some() -> None:
    code = "x = bytearray(8 << 20); print('up', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert tree_pss(process.pid) > 8 << 20
        process.kill()
