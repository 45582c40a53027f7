"""The demo: its clients see what goes wrong, and the whole of it runs and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from loadtest.demo.admin import Admin, DeviceState
from loadtest.demo.client import Client, Unanswered
from loadtest.demo.screen import Screen
from loadtest.demo.summary import print_summary
from loadtest.demo.tally import Tally, percentile
from loadtest.demo.traffic import WORK, Keys, Traffic, encryption, mac, make_keys, signature
from loadtest.demo.watch import Watch
from loadtest.simhsm import Fault, SimulatedDevice
from loadtest.simhsm.faults import FaultKind
from tests.support.emulated import Contexts, Start

GUARDIAN = [sys.executable, "-c", "from guardian.cli import main; main()", "demo"]


@pytest.fixture
def traffic_to(contexts: Contexts) -> Callable[[SimulatedDevice], Traffic]:
    context: ssl.SSLContext = contexts.client("demo-client")
    return lambda device: Traffic(device.address, context)


async def test_every_kind_of_work_is_done_right(
    start: Start, contexts: Contexts, traffic_to: Callable[[SimulatedDevice], Traffic]
) -> None:
    device = await start(tls=contexts.server)
    traffic = traffic_to(device)
    client = Client(1, traffic.address, traffic.tls, traffic.tally)
    keys = await make_keys(client)
    for work, _ in WORK:
        await work(client, keys)
    await client.close()
    assert (traffic.tally.errors, traffic.tally.writes, traffic.tally.reads) == (0, 3, 8)
    assert traffic.tally.requests == len(device.journal) == len(traffic.tally.seconds)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.reset(), "ECHO: the connection was lost"),
        (Fault.close(), "ECHO: the connection was lost"),
        (Fault.mute(), "ECHO: no answer in 15 s"),
        (Fault.wrong_echo(), "ECHO: answer to ECHO 1.10"),
        (Fault.wrong_code(), "ECHO: answer to STAT 1.1"),
        (Fault.error(text="NO DEVICE AVAILABLE"), "ECHO: NO DEVICE AVAILABLE"),
    ],
)
async def test_a_client_counts_what_goes_wrong_and_goes_on(
    start: Start,
    contexts: Contexts,
    traffic_to: Callable[[SimulatedDevice], Traffic],
    fault: Fault,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fault.kind is FaultKind.MUTE:
        monkeypatch.setattr("loadtest.demo.client._PATIENCE", 0.1)
    device = await start(tls=contexts.server, fault=fault)
    traffic = traffic_to(device)
    client = Client(1, traffic.address, traffic.tls, traffic.tally)
    with pytest.raises(Unanswered):
        await client.ask("ECHO")
    device.fault = None
    await client.ask("ECHO")
    await client.close()
    assert dict(traffic.tally.reasons) == {reason: 1}
    assert (traffic.tally.reads, traffic.tally.failed_reads, traffic.tally.failed_writes) == (2, 1, 0)


async def test_a_write_in_doubt_is_no_error(
    start: Start, contexts: Contexts, traffic_to: Callable[[SimulatedDevice], Traffic]
) -> None:
    device = await start(tls=contexts.server, fault=Fault.error(number=903, text="OUTCOME UNKNOWN"))
    traffic = traffic_to(device)
    client = Client(1, traffic.address, traffic.tls, traffic.tally)
    with pytest.raises(Unanswered):
        await client.ask("GPGS", write=True, CT="6")
    assert (traffic.tally.unknown, traffic.tally.errors) == (1, 0)
    with pytest.raises(Unanswered):
        await client.ask("ECHO")
    await client.close()
    assert (traffic.tally.unknown, traffic.tally.failed_reads) == (1, 1)


async def test_a_wrong_result_is_an_error(
    start: Start, contexts: Contexts, traffic_to: Callable[[SimulatedDevice], Traffic]
) -> None:
    device = await start(tls=contexts.server)
    traffic = traffic_to(device)
    client = Client(1, traffic.address, traffic.tls, traffic.tally)
    keys = await make_keys(client)
    other = await make_keys(client)
    mixed = Keys(keys.shared, other.material, keys.signing, other.public)
    for work in (encryption, mac, signature):
        with pytest.raises(Unanswered):
            await work(client, mixed)
    await client.close()
    assert traffic.tally.failed_reads == 3


async def test_clients_stop_when_told(
    start: Start, contexts: Contexts, traffic_to: Callable[[SimulatedDevice], Traffic]
) -> None:
    device = await start(tls=contexts.server)
    traffic = traffic_to(device)
    client = Client(0, traffic.address, traffic.tls, traffic.tally)
    keys = await make_keys(client)
    await client.close()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(traffic.run, 3, keys)
            while traffic.tally.requests < 30:
                await trio.sleep(0.01)
            traffic.stop()
    assert traffic.tally.errors == 0


def test_percentiles() -> None:
    assert percentile([], 0.5) == 0
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(list(range(100)), 0.99) == 99


def test_the_summary_says_what_failed() -> None:
    printed: list[str] = []

    class Paper:
        def line(self, text: str, style: str) -> None:
            printed.append(text)

        def table(self, title: str, head: object, rows: object) -> None:
            printed.append(str(rows))

    tally = Tally()
    for _ in range(4):
        tally.over(False, 0.001)
    tally.failed(False, "ECHO: BUSY")
    watch = Watch(Admin("127.0.0.1", 1), lambda text, style: None)
    watch.killed, watch.took_over = 5.0, 5.04
    print_summary(Screen(Paper()), tally, watch, {"hsm1": DeviceState("hsm1", "up", True, 4)}, 2.0)
    text = "\n".join(printed)
    assert "1 of 4 reads failed" in text
    assert "failed 1 times: ECHO: BUSY" in text
    assert "40 ms after hsm2 was killed" in text
    assert "100.0%" in text
    assert "not seen" in text


def programs_below(folder: Path) -> list[int]:
    """Processes whose working folder is in `folder`."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").resolve().is_relative_to(folder):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_the_demo_loses_no_read_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [*GUARDIAN, "--seconds", "4", "--clients", "6"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hsm2 is killed" in done.stdout
    assert "hsm4 (backup) serves" in done.stdout
    assert re.search(r"\n0 of [1-9][0-9]+ reads failed", done.stdout)
    assert "ms after hsm2 was killed" in done.stdout
    assert "\x1b" not in done.stdout  # not a terminal: no colour
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
    assert programs_below(tmp_path) == []


def test_an_interrupted_demo_ends_everything(tmp_path: Path) -> None:
    with subprocess.Popen(GUARDIAN, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "hsm1 (primary)" in line:
                    break
            assert len(programs_below(tmp_path)) >= 5
            os.kill(process.pid, signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []
    gone_in(tmp_path, 60)


def test_a_program_ends_when_the_demo_was_killed() -> None:
    arguments = [sys.executable, "-m", "loadtest.leash", "simulate", "--tls-mode", "clear"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert b"ready" in process.stdout.readline()
            process.stdin.close()  # as the kernel does for a process that is no more
            assert process.wait(60) == 0
        finally:
            process.kill()


def gone_in(folder: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := programs_below(folder)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == []
