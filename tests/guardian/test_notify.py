"""What the service manager hears, on a real datagram socket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guardian.notify import Notifier, notifier, watchdog_interval
from tests.support.service_manager import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServiceManager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@guardian-test-{time.monotonic_ns()}"
    listening = ServiceManager(address)
    yield listening
    listening.close()


def test_each_word_of_a_service_is_heard(manager: ServiceManager) -> None:
    told = notifier({"NOTIFY_SOCKET": manager.address})
    told.ready()
    assert manager.heard() == "READY=1"
    before = time.monotonic_ns() // 1000
    told.reloading()
    word, _, since = manager.heard().partition("\n")
    assert word == "RELOADING=1"
    assert before <= int(since.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    told.stopping()
    assert manager.heard() == "STOPPING=1"
    told.alive()
    assert manager.heard() == "WATCHDOG=1"
    told.main_process(4711)
    assert manager.heard() == "MAINPID=4711"


def test_a_status_is_told_when_it_changes(manager: ServiceManager) -> None:
    told = Notifier(manager.address)
    for text in ("serving", "serving", "draining"):
        told.status(text)
    assert [manager.heard(), manager.heard()] == ["STATUS=serving", "STATUS=draining"]
    assert manager.heard_so_far() == []


def test_whoever_is_silent_says_nothing_and_says_it_later(manager: ServiceManager) -> None:
    told = Notifier(manager.address)
    told.silent = True
    told.ready()
    told.status("serving")
    assert manager.heard_so_far() == []
    told.silent = False
    told.status("serving")
    assert manager.heard() == "STATUS=serving"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody-listens-here", "/" + "x" * 200])
def test_nobody_who_listens_is_no_fault(address: str) -> None:
    Notifier(address).ready()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 1.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_at_a_third_of_its_time_by_the_process_it_is_for(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_interval(environment, 7) == seconds
