from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from loadtest.compare import processes as module
from loadtest.compare.processes import Processes, Program, ProgramError

WAIT = "import time; print('ready', flush=True); time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def alive(program: Program) -> bool:
    return os.path.exists(f"/proc/{program.pid}")


def test_all_programs_end_when_the_context_is_left_by_an_error(tmp_path: Path) -> None:
    started: list[Program] = []

    def run_interrupted() -> None:
        with Processes(tmp_path) as processes:
            started.append(processes.start("one", python(WAIT)))
            started.append(processes.start("two", python(WAIT), piped=True))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_interrupted()
    assert len(started) == 2
    assert not any(alive(program) for program in started)


def test_a_program_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_TIMEOUT", 0.2)
    with Processes(tmp_path) as processes:
        deaf = processes.start("deaf", python(DEAF))
        assert deaf.first_line(timeout=60) == "ready"
    assert not alive(deaf)


def test_what_a_failed_program_printed_is_told(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        program = processes.start("poor thing", python("import sys; sys.exit('cannot bind')"))
        with pytest.raises(ProgramError, match=r"poor thing ended \(exit code 1\)\n  \| cannot bind"):
            program.first_line(timeout=60)


def test_waiting_has_an_end(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        program = processes.start("slow", python(WAIT))
        with pytest.raises(ProgramError, match="was not ready within"):
            program.wait_until(lambda: False, timeout=0.1)
