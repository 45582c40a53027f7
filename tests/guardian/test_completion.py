"""What a shell is offered: quick, and quiet where there is no proxy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config.model import Admin, UnixBind
from tests.guardian.test_commands import Run, admin_port, run
from tests.support.admin_port import LOOPBACK
from tests.support.operable import FakeProxy

__all__ = ["run"]
GUARDIAN = [sys.executable, "-c", "from guardian.cli import main; main()"]


def offered(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    asked = {"_GUARDIAN_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("guardian", *words)),
             "COMP_CWORD": str(len(words)), "GUARDIAN_ADMIN": url}  # fmt: skip
    return subprocess.run(
        GUARDIAN, env={**os.environ, **asked}, capture_output=True, text=True, timeout=60, check=False
    )


def names(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_devices_and_groups_of_the_proxy_that_runs() -> None:
    with admin_port(FakeProxy()) as url:
        assert names(offered(url, "device", "drain", "pay")) == ["payments/hsm1", "payments/hsm2"]
        assert names(offered(url, "device", "drain", "payments/hsm1", "payments/hsm2")) == ["payments/hsm2"]
        assert names(offered("http://127.0.0.1:1", "device", "drain", "--admin", url, "pay")) != []
        assert names(offered(url, "show", "devices", "--group", "p")) == ["payments"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense"])
def test_without_a_proxy_nothing_is_offered_and_nothing_said(url: str) -> None:
    done = offered(url, "device", "drain", "pay")
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize(("bind", "offers"), [(None, False), ("unix", True)])
def test_tab_shows_a_token_to_no_port_that_anybody_may_have(tmp_path: Path, bind: str | None, offers: bool) -> None:
    (tmp_path / "token").write_text("s3cret")
    at = LOOPBACK.bind if bind is None else UnixBind(path=tmp_path / "a.sock")
    with admin_port(FakeProxy(), Admin(bind=at, token_file=tmp_path / "token")) as url:
        found = names(offered(url, "device", "drain", "--token-file", str(tmp_path / "token"), "pay"))
    assert found == (["payments/hsm1", "payments/hsm2"] if offers else [""])


def test_commands_and_options() -> None:
    assert names(offered("", "dev")) == ["device"]
    assert "--timeout" in names(offered("", "device", "drain", "--"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(run: Run, shell: str) -> None:
    code, out, _ = run("http://127.0.0.1:1", "completion", shell)
    assert (code, "_GUARDIAN_COMPLETE" in out) == (0, True)
    program = shutil.which(shell)
    if program is not None:
        subprocess.run([program, "-n", "/dev/stdin"], input=out, text=True, check=True, timeout=60)
