"""docs/try-it.md is true: every command of it is run, in its order, and prints what it says."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "try-it.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS = ("9100", "9101", "9102", "9190")
# The suite itself runs in what `make setup` made.
SETUP = 'make setup\nexport PATH="$PWD/.venv/bin:$PATH"\nmkdir -p try && cd try\n'

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None or shutil.which("bash") is None, reason="needs the openssl command, and bash"
)


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall(GUIDE.read_text())


def free_ports(count: int) -> list[str]:
    """Chosen by the kernel, all at once so that none comes twice."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(server.getsockname()[1]) for server in held]
    for server in held:
        server.close()
    return ports


def test_every_command_of_the_guide_works_and_prints_what_it_says(tmp_path: Path) -> None:
    (kind, setup), *rest = blocks()
    assert (kind, setup) == ("sh", SETUP)
    assert {kind for kind, _ in rest} == {"sh", "text"}
    ours = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))

    def with_our_ports(text: str) -> str:
        # 10.0.8.30:9100 is an address of long ago, and no port of ours.
        text = re.sub(rf"(127\.0\.0\.1:)({'|'.join(PORTS)})\b", lambda found: found[1] + ours[found[2]], text)
        return re.sub(r"(<PROD-PORT>\s+)9100\b", lambda found: found[1] + ours["9100"], text)

    script = ["set -eu", "trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT"]
    for number, (kind, text) in enumerate(rest):
        if kind == "sh":
            script += [f"echo '### {number}'", with_our_ports(text)]
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)], cwd=tmp_path, env={**os.environ, **path}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    said = dict(re.findall(r"^### (\d+)\n(.*?)(?=^### |\Z)", done.stdout, re.MULTILINE | re.DOTALL))
    assert done.returncode == 0, (done.stdout, done.stderr)
    for number, (kind, text) in enumerate(rest):
        for line in with_our_ports(text).splitlines() if kind == "text" else ():
            pattern = ".*".join(re.escape(part) for part in line.split("..."))
            printed = said[str(number - 1)]
            assert re.search(rf"^{pattern}$", printed, re.MULTILINE), (line, printed)
    assert "Traceback" not in done.stdout + done.stderr + (tmp_path / "guardian.log").read_text()


def test_the_guide_takes_no_more_than_it_says() -> None:
    """Ten minutes: what is typed is little, and what is waited for is bounded."""
    commands = "".join(text for kind, text in blocks() if kind == "sh")
    assert commands.count("\n") < 90
    assert sum(int(seconds) for seconds in re.findall(r"sleep (\d+)", commands)) < 10
