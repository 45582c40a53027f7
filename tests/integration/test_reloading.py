"""Asking for a reload: what it would do, what it did, and one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from balancer.snapshot import ProxyState
from config.loader import Loaded, load
from config.model import Config
from guardian import reloading as module
from guardian.audit.file import AuditFile
from guardian.events import Event, Kind
from guardian.notify import Notifier
from guardian.pki import PkiFiles, make_pki
from guardian.reloading import Reloading
from loadtest.simhsm.device import SimulatedDevice
from tests.support.audit import verified
from tests.support.estate import Estate, device_tls, estate
from tests.support.operable import NIGHT_SHIFT

ECHO = b"[AOECHO;AGx;]"
BLOCKED = b"[AOERRO;AM901;ANAO;BBFUNCTION BLOCKED;AGx;]"


@asynccontextmanager
async def reloadable(
    pki: PkiFiles, folder: Path, *, faulty: bool = False
) -> AsyncIterator[tuple[Estate, Reloading, list[Config]]]:
    applied: list[Config] = []
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    async with estate(pki, folder, {"hsm1": device}, faulty=faulty) as world:
        yield world, Reloading(world.config, load(world.config), world.proxy, applied.append, Notifier()), applied


def told(world: Estate) -> list[Event]:
    return [event for event in world.proxy.events.since(0) if event.kind is Kind.RELOAD]


def block(world: Estate, command: str) -> None:
    text = world.config.read_text()
    world.config.write_text(
        text.replace("slow_start: 500ms", f"slow_start: 500ms\n    functions: {{block: [{command}]}}")
    )


async def test_a_dry_run_says_what_would_change_and_changes_nothing(pki: PkiFiles, tmp_path: Path) -> None:
    async with reloadable(pki, tmp_path) as (world, reloading, applied):
        client = await world.client()
        block(world, "ECHO")
        would = await reloading.reload(NIGHT_SHIFT, dry_run=True)
        assert (would.ok, would.lines) == (True, ("group payments: changed functions.block",))
        assert await client.request(ECHO) == ECHO
        assert (applied, dict(world.proxy.reloads), told(world)) == ([], {"ok": 0, "failed": 0}, [])
        did = await reloading.reload(NIGHT_SHIFT)
        assert did.lines == would.lines
        assert await client.request(ECHO) == BLOCKED
        [event] = told(world)
        assert (event.kind, event.who, event.result, event.detail) == (
            Kind.RELOAD, NIGHT_SHIFT.name, "ok", would.lines[0],
        )  # fmt: skip
        assert (len(applied), world.proxy.reloads["ok"]) == (1, 1)
        assert (await reloading.reload(NIGHT_SHIFT, dry_run=True)).lines == ()


async def test_what_needs_a_restart_is_said_after_the_reload_too(pki: PkiFiles, tmp_path: Path) -> None:
    async with reloadable(pki, tmp_path) as (world, reloading, _):
        text = world.config.read_text()
        world.config.write_text(f"workers: 2\n{text}")
        for dry_run in (True, False, True):
            result = await reloading.reload(NIGHT_SHIFT, dry_run=dry_run)
            assert (result.ok, result.lines) == (True, ("workers: changed, needs a restart",))
        world.config.write_text(text)
        assert (await reloading.reload(NIGHT_SHIFT)).lines == ()


async def test_a_wrong_file_is_refused_with_its_lines(pki: PkiFiles, tmp_path: Path) -> None:
    async with reloadable(pki, tmp_path) as (world, reloading, applied):
        client = await world.client()
        text = world.config.read_text()
        world.config.write_text(text.replace("request_timeout: 5s", "request_timeout: 5"))
        line = next(number for number, each in enumerate(text.splitlines(), 1) if "request_timeout" in each)
        for dry_run in (True, False):
            result = await reloading.reload(NIGHT_SHIFT, dry_run=dry_run)
            assert not result.ok
            assert str(result.problems[0]).startswith(f"{world.config}:{line}: groups.payments.request_timeout: ")
        assert await client.request(ECHO) == ECHO
        assert (applied, dict(world.proxy.reloads)) == ([], {"ok": 0, "failed": 1})


async def test_reloads_never_interleave_and_leave_the_loop_free(
    pki: PkiFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, most, threads = 0, 0, set[int]()

    def slow(path: Path, read_files: bool = False) -> Loaded:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threads.add(threading.get_ident())
        time.sleep(0.1)
        inside -= 1
        return load(path, read_files)

    async with reloadable(pki, tmp_path) as (world, reloading, applied):
        client = await world.client()
        monkeypatch.setattr(module, "load", slow)
        block(world, "RAND")
        answered = 0
        async with trio.open_nursery() as nursery:
            for dry_run in (False, True, False):
                nursery.start_soon(lambda dry_run=dry_run: reloading.reload(NIGHT_SHIFT, dry_run=dry_run))
            while not applied:
                assert await client.request(ECHO) == ECHO
                answered += 1
        assert (most, len(applied)) == (1, 2)
        assert threading.get_ident() not in threads
        assert answered > 3


async def test_a_renewed_certificate_is_said_though_its_name_is_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    pki = make_pki(folder, clients=("vault-1",), devices={"hsm1": ("127.0.0.1",)}, days=30)
    async with reloadable(pki, tmp_path) as (_, reloading, _):
        newer = make_pki(tmp_path / "newer", clients=("vault-1",), devices={"hsm1": ("127.0.0.1",)}, days=60)
        for name in ("certificate", "key"):
            getattr(pki.server, name).write_bytes(getattr(newer.server, name).read_bytes())
        result = await reloading.reload(NIGHT_SHIFT, dry_run=True)
        [line] = result.lines
        assert line.startswith(f"file {pki.server.certificate}: now ends ")


async def test_a_proxy_that_stops_reloads_nothing(pki: PkiFiles, tmp_path: Path) -> None:
    async with reloadable(pki, tmp_path) as (world, reloading, applied):
        block(world, "ECHO")
        world.proxy.state = ProxyState.DRAINING
        result = await reloading.reload(NIGHT_SHIFT)
        assert (result.reason, applied) == ("the proxy is stopping", [])
        world.proxy.state = ProxyState.SERVING


async def test_a_fault_of_ours_is_told_and_ends_nothing(
    pki: PkiFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    async with reloadable(pki, tmp_path, faulty=True) as (world, reloading, _):
        monkeypatch.setattr(module, "diff", broken)
        result = await reloading.reload(NIGHT_SHIFT)
        assert "fault of the proxy's own" in result.reason
        assert world.proxy.reloads["failed"] == 1


async def test_the_audit_file_is_opened_beside_the_loop_and_not_for_a_dry_run(
    pki: PkiFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk may let one wait; meanwhile the data path goes on."""
    threads: list[threading.Thread] = []
    open_now = AuditFile.open

    def opened(file: AuditFile) -> None:
        threads.append(threading.current_thread())
        open_now(file)

    monkeypatch.setattr(AuditFile, "open", opened)
    path = tmp_path / "audit.log"
    async with reloadable(pki, tmp_path) as (world, reloading, _):
        world.config.write_text(f"{world.config.read_text()}\naudit: {{file: {path}}}\n")
        assert (await reloading.reload(NIGHT_SHIFT, dry_run=True)).ok
        assert not path.exists()
        assert (await reloading.reload(NIGHT_SHIFT)).ok
        assert len(threads) == 1
        assert threads[0] is not threading.current_thread()
        assert (await reloading.reload(NIGHT_SHIFT)).ok
        assert len(threads) == 1, "it is the same"
        path.with_name("no file").mkdir()
        world.config.write_text(world.config.read_text().replace(str(path), f"'{path.with_name('no file')}'"))
        assert not (await reloading.reload(NIGHT_SHIFT)).ok
    assert [record.fields["kind"] for record in verified(path).records] == ["audit", "reload", "reload", "reload"]
