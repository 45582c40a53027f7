"""The Debian package on a Debian of its own: installed, booted with systemd, served, reloaded, upgraded, taken away."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guardian.pki import PkiFiles
from tests.support.machines import RUNTIME, Machine, inside, missing, root, running, unpacked

KEYS = "/etc/guardian/keys"
CONFIG = "/etc/guardian/guardian.yaml"
CLIENT = f"{KEYS}/app1"
DEVICES = {
    "10.0.8.30:9100": "127.0.0.30:9101",
    "10.0.8.31:9100": "127.0.0.31:9101",
    "10.0.8.32:9100": "127.0.0.32:9101",
}
UNIT = "guardian.service"

pytestmark = [pytest.mark.machine, pytest.mark.timeout(600)]


@pytest.fixture
def installed(package: Path, tmp_path: Path) -> Path:
    """A root with the package and nothing to run it with."""
    folder = unpacked(root(RUNTIME), tmp_path / "debian")
    shutil.copy(package, folder / "root")
    done = inside(folder, "dpkg", "-i", f"/root/{package.name}", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(autouse=True)
def _possible() -> None:
    if why := missing("systemd-nspawn", "nsenter", "dpkg-deb"):
        pytest.skip(why)


def hand_over_keys(folder: Path, pki: PkiFiles) -> None:
    """As docs/deployment.md says: certificates beside the configuration, keys where root alone reads them."""
    etc = folder / "etc" / "guardian"
    for source, name in (
        (pki.server.certificate, "guardian.crt"),
        (pki.proxy_client.certificate, "guardian-client.crt"),
        (pki.ca, "ca.crt"),
        (pki.server.key, "keys/guardian.key"),
        (pki.proxy_client.key, "keys/guardian-client.key"),
    ):
        shutil.copy(source, etc / name)
        (etc / name).chmod(0o600 if name.startswith("keys/") else 0o644)
    for name, pair in (("app1", pki.clients["app1"]), ("device", pki.devices["Production"])):
        shutil.copy(pair.certificate, folder / "root" / f"{name}.crt")
        shutil.copy(pair.key, folder / "root" / f"{name}.key")


def test_a_package_installs_checks_and_goes_away(installed: Path, pki: PkiFiles) -> None:
    said = inside(installed, "guardian", "--version").stdout
    assert said.startswith("guardian 0.")
    assert inside(installed, "python3", "-c", "import trio", check=False).returncode, "it is nobody else's"
    without_keys = inside(installed, "env", f"CREDENTIALS_DIRECTORY={KEYS}", "guardian", "check", CONFIG, check=False)
    assert without_keys.returncode == 1
    assert f"{CONFIG}:" in without_keys.stdout
    hand_over_keys(installed, pki)
    checked = inside(installed, "env", f"CREDENTIALS_DIRECTORY={KEYS}", "guardian", "check", CONFIG, check=False)
    assert checked.returncode == 0, checked.stdout
    assert (installed / "usr/share/man/man1/guardian.1.gz").exists()
    for shell in ("bash-completion/completions/guardian", "zsh/vendor-completions/_guardian",
                  "fish/vendor_completions.d/guardian.fish"):  # fmt: skip
        assert "_GUARDIAN_COMPLETE" in (installed / "usr/share" / shell).read_text()
    assert (installed / "etc/guardian/keys").stat().st_mode & 0o777 == 0o700

    inside(installed, "dpkg", "-r", "guardian-hsm")
    assert not (installed / "usr/lib/guardian-hsm").exists()
    assert not (installed / "usr/bin/guardian").exists()
    assert (installed / "etc/guardian/guardian.yaml").exists()
    inside(installed, "dpkg", "-P", "guardian-hsm")
    assert not (installed / "etc/guardian/guardian.yaml").exists()
    assert (installed / "etc/guardian/keys/guardian.key").exists(), "keys are not ours to delete"
    shutil.rmtree(installed / "etc/guardian")
    shutil.rmtree(installed / "root")
    assert not [path for path in installed.rglob("*guardian*") if not path.is_relative_to(installed / "proc")]


@pytest.fixture
def machine(installed: Path, pki: PkiFiles) -> Iterator[Machine]:
    """Booted, with devices on its loopback, and the service enabled and up."""
    hand_over_keys(installed, pki)
    config = installed / CONFIG[1:]
    text = config.read_text()
    for written, here in DEVICES.items():
        assert written in text
        text = text.replace(written, here)
    config.write_text(text)
    with running(installed, "--boot") as booted:
        booted.until("systemctl", "is-active", "--quiet", "multi-user.target")
        for number, address in enumerate(DEVICES.values(), 1):
            start_device(booted, f"hsm{number}", address)
        booted.run("systemctl", "enable", "--now", UNIT)
        yield booted


def start_device(machine: Machine, name: str, address: str) -> None:
    machine.run(
        "systemd-run", f"--unit={name}", "guardian", "simulate", "--name", name, "--bind", address,
        "--certificate", "/root/device.crt", "--key", "/root/device.key", "--ca", "/etc/guardian/ca.crt",
        "--user", "guardian-client",
    )  # fmt: skip


def show(machine: Machine, name: str) -> str:
    return machine.run("systemctl", "show", "--value", "-p", name, UNIT).stdout.strip()


ASK = """
import socket, ssl, sys
context = ssl.create_default_context(cafile="/etc/guardian/ca.crt")
context.load_cert_chain("/root/app1.crt", "/root/app1.key")
with context.wrap_socket(socket.create_connection(("127.0.0.1", 9100), timeout=20), server_hostname="127.0.0.1") as tls:
    tls.sendall(sys.argv[1].encode())
    print(tls.recv(4096).decode())
"""


PROCESSES_OF = """
import os, pathlib, sys
for folder in pathlib.Path("/proc").glob("[1-9]*"):
    words = folder.joinpath("cmdline").read_bytes().split(bytes(1))
    if sys.argv[1].encode() in words and int(folder.name) != os.getpid():
        print({os.SCHED_IDLE: "IDLE", os.SCHED_OTHER: "OTHER"}[os.sched_getscheduler(int(folder.name))])
"""
SCRAPE = 'import urllib.request; urllib.request.urlopen("http://127.0.0.1:9190/metrics", timeout=20).read()'


def processes_of(machine: Machine, module: str) -> list[str]:
    """The scheduling policy of each process of ours that runs that module."""
    return machine.run("python3", "-c", PROCESSES_OF, module).stdout.split()


def makers(machine: Machine) -> list[str]:
    """Of metrics, once they were asked for."""
    machine.run("python3", "-c", SCRAPE)
    return processes_of(machine, "guardian.metrics.apart")


def ask(machine: Machine, request: str = "[AOECHO;AGhere;]") -> str:
    return machine.run("python3", "-c", ASK, request).stdout.strip()


def test_the_service_as_installed(machine: Machine) -> None:
    # Type=notify: `enable --now` has come back, so it serves.
    assert show(machine, "ActiveState") == "active"
    assert show(machine, "NRestarts") == "0"
    machine.until("guardian", "status")
    assert ask(machine) == "[AOECHO;AGhere;]"
    assert "in service" in show(machine, "StatusText")

    # What it runs as, and what it may see.
    main = show(machine, "MainPID")
    status = dict(line.split(":\t", 1) for line in machine.run("cat", f"/proc/{main}/status").stdout.splitlines())
    guardian = machine.run("id", "-u", "guardian").stdout.strip()
    assert status["Uid"].split() == [guardian] * 4
    assert status["CapEff"].strip() == status["CapBnd"].strip() == "0" * 16
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    assert machine.run("stat", "-c", "%U %a", KEYS, "/var/lib/guardian", "/run/guardian").stdout.splitlines() == [
        "root 700", "guardian 750", "guardian 750",
    ]  # fmt: skip
    assert machine.run("stat", "-c", "%U", "/var/lib/guardian/payments.journal").stdout.strip() == "guardian"

    # An operator's commands find the keys that systemd gave the service; who may not read them is told so.
    for user in ("root", "guardian"):
        said = machine.run("setpriv", f"--reuid={user}", "--clear-groups", "guardian", "doctor", CONFIG).stdout
        assert "device payments/hsm3: 127.0.0.32:9101 answers" in said, said
        assert (
            machine.run("setpriv", f"--reuid={user}", "--clear-groups", "guardian", "check", CONFIG).stdout.count("\n")
            == 1
        )
    refused = machine.run(
        "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "guardian", "check", CONFIG, check=False
    )
    assert refused.returncode == 1
    assert "payments.journal, whose folder cannot be entered" in refused.stdout
    assert refused.stdout.count("systemd sets it for the service alone") == 2, refused.stdout
    assert "only a warning" not in refused.stdout

    # What is looked at is made by a process that gives way: the sandbox lets it.
    assert makers(machine) == ["IDLE"]

    # A reload: as it should be, and refused.
    config = machine.folder / CONFIG[1:]
    good = config.read_text()
    assert "block: [GPKD, TIME]" in good
    config.write_text(good.replace("block: [GPKD, TIME]", "block: [GPKD, TIME, ECHO]"))
    machine.run("systemctl", "reload", UNIT)
    deadline = time.monotonic() + 20
    while "AM901" not in ask(machine):
        assert time.monotonic() < deadline
    config.write_text(good.replace("role: primary", "role: spare"))
    assert machine.run("systemctl", "reload", UNIT, check=False).returncode != 0
    said = machine.run("journalctl", "--no-pager", "-u", UNIT).stdout
    assert "role: is 'spare', must be one of" in said
    assert "AM901" in ask(machine)
    config.write_text(good)
    assert show(machine, "MainPID") == main

    # A restart refuses no connect: they wait in systemd's socket meanwhile. `ask` fails where one is refused.
    machine.run("systemctl", "restart", "--no-block", UNIT)
    while show(machine, "MainPID") in (main, "0"):
        ask(machine)
    machine.until("guardian", "status")
    assert ask(machine) == "[AOECHO;AGhere;]"

    # An upgrade by hand-over: another main process of the same run, and the old one goes when nobody is left.
    old = show(machine, "MainPID")
    machine.run("systemctl", "kill", "--kill-whom=main", "-s", "USR2", UNIT)
    while show(machine, "MainPID") == old:
        ask(machine)
    machine.until("guardian", "status")
    assert ask(machine) == "[AOECHO;AGhere;]"
    machine.until("sh", "-c", f"! kill -0 {old} 2>&-")
    assert (show(machine, "ActiveState"), show(machine, "NRestarts")) == ("active", "0")
    machine.run("systemctl", "reload", UNIT)

    # It hangs: the watchdog ends it, and systemd starts it anew.
    hung = show(machine, "MainPID")
    machine.run("sh", "-c", f"kill -STOP {hung}")
    machine.until("sh", "-c", f'test "$(systemctl show --value -p NRestarts {UNIT})" = 1')
    machine.until("guardian", "status")
    assert ask(machine) == "[AOECHO;AGhere;]"
    assert "watchdog" in machine.run("journalctl", "--no-pager", "-u", UNIT).stdout.lower()

    # Several workers, in the same sandbox.
    config.write_text(f"workers: 2\n{good}")
    machine.run("systemctl", "restart", UNIT)
    assert processes_of(machine, "guardian.workers.main") == ["OTHER"] * 2
    assert {ask(machine) for _ in range(4)} == {"[AOECHO;AGhere;]"}
    config.write_text(good)
    machine.run("systemctl", "restart", UNIT)

    # The package once more: what ran is started anew. Then it is removed, with all that runs.
    machine.run("sh", "-c", "dpkg -i /root/guardian-hsm_*.deb", timeout=120)
    machine.until("guardian", "status")
    machine.run("dpkg", "-P", "guardian-hsm", timeout=120)
    assert (
        machine.run("systemctl", "is-active", UNIT, "guardian.socket", check=False).stdout.split() == ["inactive"] * 2
    )
    assert (machine.folder / "var/lib/guardian/payments.journal").exists()
