"""The container image, built by buildah and run as its own settings say: no root, nothing to write, no capability."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from guardian.pki import PkiFiles
from tests.support.machines import BUILDER, CACHE, ROOT, RUNTIME, Machine, missing, root, running

pytestmark = [pytest.mark.machine, pytest.mark.timeout(900)]

CONFIG = """\
workers: 2
listeners:
  - name: excrypt
    bind: 0.0.0.0:9100
    group: payments
    tls: {certificate: guardian.crt, key: guardian.key, ca: [ca.crt]}
groups:
  - name: payments
    tls: {certificate: guardian-client.crt, key: guardian-client.key, ca: [ca.crt]}
    devices: [{name: hsm1, address: 127.0.0.1:9101, role: primary, tls: {name: Production}}]
"""


@attrs.frozen
class Buildah:
    storage: Path

    def __call__(self, *arguments: str | Path, timeout: float = 120) -> str:
        done = subprocess.run(
            ["buildah", "--storage-driver", "overlay", "--root", str(self.storage / "root"), "--runroot",
             str(self.storage / "run"), *map(str, arguments)],
            capture_output=True, text=True, check=False, timeout=timeout, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def imported(self, tar: Path, name: str) -> str:
        """A root as an image, as a registry would give one."""
        container = self("from", "scratch")
        self("add", "--quiet", container, tar, "/")
        self("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
        self("commit", "--quiet", "--rm", container, f"localhost/{name}")
        return f"localhost/{name}"


@pytest.fixture
def buildah() -> Iterator[Buildah]:
    """With storage of its own, which goes with what is mounted there: pytest could not clear that away."""
    if why := missing("buildah", "systemd-nspawn", "nsenter"):
        pytest.skip(why)
    CACHE.mkdir(parents=True, exist_ok=True)
    made = Buildah(Path(tempfile.mkdtemp(prefix="storage-", dir=CACHE)))
    try:
        yield made
    finally:
        made("unmount", "--all")
        made("rm", "--all")
        mounted = made.storage / "root" / "overlay"
        subprocess.run(["umount", "--quiet", str(mounted)], check=False)
        shutil.rmtree(made.storage)


def pip() -> str:
    """A Python that has it: an environment made by uv has none."""
    for python in (sys.executable, str(Path(sys.base_prefix, "bin", "python3"))):
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip("pip is missing (Debian: python3-pip)")


def downloaded() -> Path:
    """A folder with what requirements-build.lock says: a base without this machine's trust could not fetch it."""
    wheels = CACHE / "wheels"
    subprocess.run(
        [pip(), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r",
         "requirements-build.lock", "-d", str(wheels)],
        cwd=ROOT, check=True, timeout=300, capture_output=True, text=True,
    )  # fmt: skip
    return wheels


@attrs.frozen
class Running:
    """Commands run as the image's user with its environment, as `exec` runs them."""

    machine: Machine
    environment: dict[str, str]

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.machine.run(*self._as_in_the_image(), *command, check=check)

    def until(self, *command: str) -> None:
        self.machine.until(*self._as_in_the_image(), *command)

    def _as_in_the_image(self) -> list[str]:
        return [*as_user(), "env", *(f"{name}={value}" for name, value in self.environment.items())]


def as_user() -> list[str]:
    return ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]


@pytest.fixture
def image(buildah: Buildah) -> dict[str, Any]:
    """What the image says of itself."""
    buildah(
        "bud", "--isolation", "chroot", "--format", "docker", "-t", "localhost/guardian-hsm",
        "--build-arg", f"BUILDER={buildah.imported(root(BUILDER), 'builder')}",
        "--build-arg", f"BASE={buildah.imported(root(RUNTIME), 'base')}",
        "--volume", f"{downloaded()}:/wheels:ro",
        "--build-arg", "PIP_NO_INDEX=1", "--build-arg", "PIP_FIND_LINKS=/wheels",
        "-f", "deploy/container/Containerfile", ".", timeout=600,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", "localhost/guardian-hsm"))["Docker"][
        "config"
    ]
    return found


@pytest.fixture
def container(buildah: Buildah, image: dict[str, Any], pki: PkiFiles, tmp_path: Path) -> Iterator[Running]:
    etc = tmp_path / "etc"
    etc.mkdir()
    for file in (
        pki.server.certificate, pki.server.key, pki.proxy_client.certificate, pki.proxy_client.key, pki.ca,
        pki.devices["Production"].certificate, pki.devices["Production"].key,
    ):  # fmt: skip
        shutil.copy(file, etc)
    (etc / "guardian.yaml").write_text(CONFIG)
    for path in (etc, *etc.iterdir()):
        shutil.chown(path, 10001, 10001)
    mounted = buildah("mount", buildah("from", "localhost/guardian-hsm"))
    environment = dict(entry.split("=", 1) for entry in image["Env"])
    command = [*image["Entrypoint"], *image["Cmd"]]
    with running(
        Path(mounted), "--read-only", f"--bind-ro={etc}:/etc/guardian",
        "--no-new-privileges=yes",
        *(f"--setenv={name}={value}" for name, value in environment.items()), "--", *as_user(), *command,
    ) as machine:  # fmt: skip
        yield Running(machine, environment)


def test_the_image(image: dict[str, Any], container: Running) -> None:
    assert image["User"] == "10001:10001"
    assert image["StopSignal"] == "SIGTERM"
    assert set(image["ExposedPorts"]) == {"9100/tcp", "9190/tcp"}

    # No device yet: it answers, so it is healthy; starting it anew would bring none.
    kind, health = image["Healthcheck"]["Test"]
    assert kind == "CMD-SHELL"
    container.until("sh", "-c", health)
    assert container.run("guardian", "status", check=False).returncode == 1

    device = "/etc/guardian/Production"
    container.run(
        "sh", "-c", f"guardian simulate --name hsm1 --bind 127.0.0.1:9101 --certificate {device}.crt "
        f"--key {device}.key --ca /etc/guardian/ca.crt --user guardian-client >/dev/null 2>&1 &",
    )  # fmt: skip
    container.until("guardian", "status")
    assert container.run("guardian", "status").stdout.startswith("proxy serving, 2 of 2 workers\n")
    assert container.run("guardian", "--version").stdout.strip().endswith("compiled")

    # Nothing to write, nothing to build with.
    assert container.run(
        "sh", "-c", "touch /here || touch /opt/guardian/here || touch /etc/here", check=False
    ).returncode
    for program in ("cc", "gcc", "make", "pip"):
        assert container.run("sh", "-c", f"command -v {program}", check=False).returncode, program

    # Process 1 takes the image's signal, drains and ends.
    os.kill(container.machine.leader, signal.Signals[str(image["StopSignal"])])
    assert container.machine.nspawn.wait(60) == 0
