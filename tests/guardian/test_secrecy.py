from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="cores are a matter of the system")
@pytest.mark.parametrize(("forbid", "dumpable"), [("forbid_core_dumps()", "0"), ("", "1")])
def test_a_process_that_forbids_them_leaves_no_core(tmp_path: Path, forbid: str, dumpable: str) -> None:
    program = (
        "import ctypes, os; from guardian.secrecy import forbid_core_dumps\n"
        f"{forbid}\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)\n"  # PR_GET_DUMPABLE
        "os.abort()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert ended.stdout.strip() == dumpable
    assert ended.returncode == -signal.SIGABRT
