"""Small Debian machines: a root made by mmdebstrap, run by systemd-nspawn with no network but loopback."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "build" / "check-deploy"
RUNTIME = ("python3", "systemd", "systemd-sysv")
BUILDER = ("python3", "python3-venv", "python3-dev", "gcc", "libc6-dev")


def missing(*programs: str) -> str | None:
    """Why no root can be made or run here, or None."""
    if os.geteuid() != 0:
        return "needs root, for roots of Debian"
    if platform.freedesktop_os_release().get("ID") != "debian":
        return "needs Debian, whose packages the roots are made of"
    packages = {"systemd-nspawn": "systemd-container"}
    for program in ("mmdebstrap", *programs):
        if shutil.which(program) is None:
            return f"{program} is missing (Debian: {packages.get(program, program)})"
    return None


def root(packages: Sequence[str]) -> Path:
    """A tar file with the least of this machine's release and these packages; kept in build/ for the next time.

    Whoever wants one that another test is making waits for it.
    """
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    tar = CACHE / f"{release}-{'-'.join(packages)}.tar"
    CACHE.mkdir(parents=True, exist_ok=True)
    with tar.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tar.exists():
            half = tar.with_suffix(".half.tar")
            half.unlink(missing_ok=True)
            subprocess.run(
                ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}", release, str(half)],
                check=True, capture_output=True, text=True, timeout=400,
            )  # fmt: skip
            half.rename(tar)
    return tar


def unpacked(tar: Path, folder: Path) -> Path:
    folder.mkdir()
    subprocess.run(["tar", "-C", str(folder), "-xf", str(tar)], check=True, timeout=120)
    return folder


def inside(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one command in the root, with nothing else running there."""
    return subprocess.run(
        ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--pipe", "-D", str(folder),
         *command],
        capture_output=True, text=True, check=check, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@attrs.frozen
class Machine:
    folder: Path
    leader: int  # process 1 of it, as seen from here
    nspawn: subprocess.Popen[bytes]  # ends with the exit code of process 1

    def run(self, *command: str, check: bool = True, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """As root in it. Raises CalledProcessError with what it said."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--", *command],
            capture_output=True, text=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def until(self, *command: str, seconds: float = 60.0) -> float:
        """Wait until it succeeds; gives how long that took."""
        start = time.monotonic()
        while self.run(*command, check=False).returncode:
            assert time.monotonic() < start + seconds, self.run(*command, check=False)
            time.sleep(0.1)
        return time.monotonic() - start


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Machine]:
    """systemd-nspawn with these arguments; `--boot` starts what is installed there."""
    with (folder.parent / f"{folder.name}.console").open("wb") as console:
        nspawn = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--console=pipe",
             "-D", str(folder), *arguments],
            stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
        )  # fmt: skip
    leader = 0
    try:
        children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
        for _ in range(600):
            assert nspawn.poll() is None, (folder.parent / f"{folder.name}.console").read_text()
            found = children.read_text().split()
            # Until its process 1 has been started, what is seen is nspawn's own; of one that ends there are no words.
            for child in found:
                with suppress(OSError):
                    words = Path(f"/proc/{child}/cmdline").read_text()
                    leader = 0 if not words or "systemd-nspawn" in words else int(child)
            if leader:
                break
            time.sleep(0.05)
        assert leader, "nothing was started"
        yield Machine(folder, leader, nspawn)
    finally:
        if leader and Path(f"/proc/{leader}").exists():
            os.kill(leader, signal.SIGKILL)  # of a process 1: everything in it goes
        nspawn.terminate()
        nspawn.wait(30)
