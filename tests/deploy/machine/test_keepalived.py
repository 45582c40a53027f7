"""Two nodes that share an address, as deploy/keepalived has it, with the example configuration on both."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from guardian.pki import PkiFiles, make_pki
from tests.support.namespaces import GUARDIAN, ROOT, Host, hosts, missing

KEEPALIVED, CURL = shutil.which("keepalived"), shutil.which("curl")
SHARED = "10.0.8.100"
DEVICES = {"hsm1": "10.0.8.30", "hsm2": "10.0.8.31", "hsm3": "10.0.8.32"}

pytestmark = [
    pytest.mark.machine,
    pytest.mark.timeout(180),
    pytest.mark.skipif(KEEPALIVED is None or CURL is None, reason="keepalived or curl is missing (Debian: the same)"),
]


@attrs.frozen
class Pair:
    nodes: dict[str, Host]
    guardians: dict[str, Callable[[], object]]  # stops that node's
    answers: Path

    def holder(self) -> str | None:
        """Who has the address; None while it is on no node or on both."""
        found = [name for name, node in self.nodes.items() if SHARED in node.addresses()]
        return found[0] if len(found) == 1 else None

    def until(self, true: Callable[[], bool], what: str, seconds: float = 20.0) -> float:
        """Gives how long it took."""
        start = time.monotonic()
        while not true():
            assert time.monotonic() < start + seconds, what
            time.sleep(0.05)
        return time.monotonic() - start

    def told(self, since: float = 0.0) -> list[str]:
        lines = [line.split(" ", 1) for line in self.answers.read_text().splitlines()]
        return [line[1] for line in lines if len(line) == 2 and float(line[0]) >= since]

    def until_served(self, count: int = 20) -> None:
        since = time.time()
        self.until(lambda: self.told(since).count("ok") >= count, "the client is not served")


def start_device(host: Host, pki: PkiFiles, name: str, folder: Path) -> None:
    shown = pki.devices["Production"]
    host.start(
        *GUARDIAN, "simulate", "--name", name, "--bind", f"{DEVICES[name]}:9100", "--certificate", shown.certificate,
        "--key", shown.key, "--ca", pki.ca, "--user", "guardian-client", output=folder / f"{name}.log",
    )  # fmt: skip


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    if why := missing():
        pytest.skip(why)
    pki = make_pki(tmp_path / "pki", algorithm="ecdsa", clients=["app1"], devices={"Production": ["Production"]})
    addresses = {
        "devices": [f"{address}/24" for address in DEVICES.values()],
        "a": ["10.0.8.11/24"],
        "b": ["10.0.8.12/24"],
        "client": ["10.0.8.50/24"],
    }
    with hosts(addresses) as made:
        for name in DEVICES:
            start_device(made["devices"], pki, name, tmp_path)
        nodes = {name: made[name] for name in ("a", "b")}
        stops = {}
        for name, node in nodes.items():
            folder = tmp_path / name
            shutil.copytree(tmp_path / "pki", folder / "pki")
            shutil.copy(ROOT / "deploy" / "guardian.example.yaml", folder / "guardian.yaml")
            proxy = node.start(*GUARDIAN, "run", folder / "guardian.yaml", output=folder / "guardian.log")
            stops[name] = lambda proxy=proxy: (proxy.send_signal(signal.SIGTERM), proxy.wait(60))
            assert KEEPALIVED is not None
            node.start(
                KEEPALIVED, "--dont-fork", "--log-console", "--vrrp", "--use-file",
                ROOT / "deploy" / "keepalived" / "keepalived.conf",
                "--pid", folder / "keepalived.pid", "--vrrp_pid", folder / "vrrp.pid", output=folder / "keepalived.log",
            )  # fmt: skip
        shown = pki.clients["app1"]
        answers = tmp_path / "answers"
        made["client"].start(
            *GUARDIAN[:1], ROOT / "tests" / "support" / "steady_client.py", SHARED, "9100", pki.ca, shown.certificate,
            shown.key, output=answers,
        )  # fmt: skip
        yield Pair(nodes, stops, answers)


def test_the_address_is_where_a_guardian_is_ready(pair: Pair) -> None:
    pair.until(lambda: pair.holder() is not None, "nobody takes the address", 30)
    pair.until_served()

    # Its devices are gone for it: it lives, and is not ready.
    first = pair.holder()
    assert first is not None
    (other,) = pair.nodes.keys() - {first}
    for device in DEVICES:
        pair.nodes[first].run(*GUARDIAN, "device", "maint", f"payments/{device}")
    moved = pair.until(lambda: pair.holder() == other, "the address stays at a node that is not ready")
    assert moved < 10
    pair.until_served()

    # Ready again, it leaves the address where it is.
    for device in DEVICES:
        pair.nodes[first].run(*GUARDIAN, "device", "ready", f"payments/{device}", "--wait")
    time.sleep(5)  # longer than rise and an election
    assert pair.holder() == other
    since = time.time()
    pair.until_served()
    assert set(pair.told(since)) == {"ok"}

    # The process is told to stop.
    pair.guardians[other]()
    assert pair.until(lambda: pair.holder() == first, "the address stays at a node without a Guardian") < 10
    pair.until_served()

    # Neither is ready: one of them keeps the address and says so.
    for device in DEVICES:
        pair.nodes[first].run(*GUARDIAN, "device", "maint", f"payments/{device}")
    time.sleep(5)
    assert pair.holder() == first
    since = time.time()
    pair.until(lambda: any("AM902" in answer for answer in pair.told(since)), "nobody says that there is no device")
