"""Hosts on one machine: network namespaces on one switch, with nothing beyond it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
GUARDIAN = [sys.executable, "-c", "from guardian.cli import main; main()"]


def missing() -> str | None:
    """Why there can be none here, or None."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    if shutil.which("ip") is None:
        return "ip is missing (Debian: iproute2)"
    name = f"try{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"no network namespaces: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return None


@attrs.frozen
class Host:
    """One namespace; what is started in it ends with it."""

    namespace: str
    _processes: list[subprocess.Popen[bytes]] = attrs.field(factory=list)

    def run(self, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._inside, *command], capture_output=True, text=True, check=check, timeout=60, env=_environment()
        )

    def start(self, *command: str | Path, output: Path) -> subprocess.Popen[bytes]:
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*self._inside, *command], stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=_environment(),
                start_new_session=True,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def addresses(self) -> str:
        return self.run("ip", "-brief", "address", "show", "eth0").stdout

    def end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @property
    def _inside(self) -> Sequence[str]:
        return ["ip", "netns", "exec", self.namespace]


def _environment() -> Mapping[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


@contextmanager
def hosts(addresses: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Host]]:
    """A host for each name, with these addresses (``10.0.0.1/24``) on its eth0; all of them on one switch."""
    prefix = f"g{os.getpid()}"
    with ExitStack() as stack:

        def ip(*arguments: str) -> None:
            subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

        def namespace(name: str) -> str:
            ip("netns", "add", name)
            stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=False)
            ip("-n", name, "link", "set", "lo", "up")
            return name

        switch = namespace(f"{prefix}-switch")
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        made = {}
        for number, (name, own) in enumerate(addresses.items()):
            host = Host(namespace(f"{prefix}-{name}"))
            stack.callback(host.end)
            ip(
                "-n",
                host.namespace,
                "link",
                "add",
                "eth0",
                "type",
                "veth",
                "peer",
                "name",
                f"p{number}",
                "netns",
                switch,
            )
            ip("-n", switch, "link", "set", f"p{number}", "master", "br0", "up")
            for address in own:
                ip("-n", host.namespace, "address", "add", address, "dev", "eth0")
            ip("-n", host.namespace, "link", "set", "eth0", "up")
            made[name] = host
        yield made
