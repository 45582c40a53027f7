"""The unit files: what systemd itself says of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from config.loader import load
from guardian.pki import make_pki

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "systemd"
SERVICE, SOCKET = FOLDER / "guardian.service", FOLDER / "guardian.socket"
ANALYZE = shutil.which("systemd-analyze")
MOST = 1.5  # of 10, where 10 is a service that may do anything

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is missing (Debian: systemd)")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run([ANALYZE, "--no-pager", *arguments], capture_output=True, text=True, check=False, timeout=60)


@needs_systemd
def test_the_service_is_exposed_to_little() -> None:
    done = analyze("security", "--offline=yes", f"--threshold={MOST * 10:.0f}", SERVICE)
    level = re.search(r"Overall exposure level for guardian.service: ([0-9.]+)", done.stdout)
    assert level is not None, done.stderr
    assert float(level[1]) <= MOST
    assert done.returncode == 0


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    """In copies whose program exists, since here nothing is installed."""
    for unit in (SERVICE, SOCKET):
        text = unit.read_text().replace("/usr/bin/guardian", "/bin/true")
        (tmp_path / unit.name).write_text(text.replace("man:guardian(1)", "man:true(1)"))
    done = analyze("verify", "--man=no", tmp_path / "guardian.service", tmp_path / "guardian.socket")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of the service, with the files it names where the unit and the documentation put them."""
    pki = make_pki(tmp_path / "pki", algorithm="ecdsa")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for given in re.findall(r"^LoadCredential=(\S+):(\S+)$", SERVICE.read_text(), re.MULTILINE):
        name, source = given
        assert source == f"/etc/guardian/keys/{name}"
        key = {"guardian.key": pki.server.key, "guardian-client.key": pki.proxy_client.key}[name]
        shutil.copy(key, credentials / name)
    for file in (pki.server.certificate, pki.proxy_client.certificate, pki.ca):
        shutil.copy(file, tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    path = tmp_path / "guardian.yaml"
    path.write_text((FOLDER / "guardian.yaml").read_text().replace("/var/lib/guardian", str(tmp_path)))
    return path


def test_the_configuration_finds_its_keys_among_the_credentials(shipped: Path) -> None:
    loaded = load(shipped, read_files=True)
    assert loaded.problems == ()


def test_stopping_has_the_time_it_may_take(shipped: Path) -> None:
    config = load(shipped).config
    assert config is not None
    (given,) = re.findall(r"^TimeoutStopSec=(\d+)s$", SERVICE.read_text(), re.MULTILINE)
    assert int(given) > config.shutdown.drain_notice + config.shutdown.timeout + 5


def test_the_sockets_are_those_of_the_listeners(shipped: Path) -> None:
    config = load(shipped).config
    assert config is not None
    text = SOCKET.read_text()
    assert re.findall(r"^ListenStream=(\S+)$", text, re.MULTILINE) == [str(each.bind) for each in config.listeners]
    assert re.findall(r"^FileDescriptorName=(\S+)$", text, re.MULTILINE) == [each.name for each in config.listeners]
