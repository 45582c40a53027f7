"""`guardian top` in a real terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from balancer.snapshot import Will
from config.model import Role
from tests.guardian.test_commands import Run, admin_port, run
from tests.support import operable
from tests.support.operable import FakeProxy

__all__ = ["run"]
ROOT = Path(__file__).parents[2]


class Terminal:
    """A shell in tmux."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        stale = {"COLUMNS": "80", "LINES": "25"}  # as a shell exported them before the window was what it is
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PS1": "$ ", **stale}
        start = ["new-session", "-d", "-c", str(folder), "-x", "120", "-y", "20", "/bin/sh"]
        subprocess.run([*self._tmux, *start], check=True, env=environment, timeout=60)

    def _call(self, *args: str) -> str:
        return subprocess.run([*self._tmux, *args], check=True, capture_output=True, text=True, timeout=60).stdout

    def keys(self, *keys: str) -> None:
        self._call("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self._call("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self) -> str:
        return self._call("capture-pane", "-p")

    def until(self, there: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + 60
        while not there(screen := self.screen()):
            assert time.monotonic() < deadline, screen
            time.sleep(0.05)
        return screen

    def close(self) -> None:
        self._call("kill-server")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("needs tmux")
    made = Terminal(tmp_path)
    yield made
    made.close()


def test_top_is_live_drains_by_key_and_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    devices = operable.device("hsm1", role=Role.PRIMARY), operable.device("hsm2")
    proxy = FakeProxy(operable.proxy(operable.group("payments", *devices)))
    with admin_port(proxy) as url:
        code = "from guardian.cli import main; main()"
        terminal.keys(
            f"stty -g >before; {sys.executable} -c '{code}' top --interval 0.2 --admin {url}; echo code $?", "Enter"
        )
        terminal.until(lambda screen: "> hsm1" in screen and "q quit" in screen)
        proxy.change("hsm2", reason="it is slow today")
        terminal.until(lambda screen: "it is slow today" in screen)
        terminal.keys("d")
        terminal.until(lambda screen: "drain payments/hsm1?  y does it. It is the primary: writes get 902" in screen)
        terminal.keys("n", "Down", "d")
        terminal.until(lambda screen: "drain payments/hsm2?" in screen)
        terminal.keys("y")
        terminal.until(lambda screen: "payments/hsm2: drain" in screen)
        assert proxy.told == [("payments", "hsm2", Will.DRAIN)]
        terminal.resize(70, 10)
        terminal.until(lambda screen: "> hsm2" in screen and "hsm2: drain" in screen.splitlines()[-1])
        terminal.keys("q")
        terminal.until(lambda screen: "code 0" in screen)
    terminal.keys("clear; stty -g >after; cmp before after && echo the same", "Enter")
    terminal.until(lambda screen: screen.startswith("the same"))
    assert "guardian http" not in terminal.screen(), "it was on a screen of its own"


def test_without_a_terminal_it_says_so(run: Run) -> None:
    with admin_port(FakeProxy()) as url:
        code, out, err = run(url, "top")
    assert (code, out) == (2, "")
    assert "needs a terminal" in err
    assert "guardian status" in err


def test_a_proxy_that_is_not_there_is_3_before_the_screen(terminal: Terminal) -> None:
    code = "from guardian.cli import main; main()"
    terminal.keys(f"{sys.executable} -c '{code}' top --admin http://127.0.0.1:1; echo code $?", "Enter")
    assert "cannot reach the proxy" in terminal.until(lambda screen: "code 3" in screen)
