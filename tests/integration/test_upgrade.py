"""Processes come and go under load, and no client notices; an upgrade that fails changes nothing."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from config.model import Bind
from guardian.pki import PkiFiles
from tests.support.admin_port import ask
from tests.support.estate import client_tls
from tests.support.excrypt_client import Closed, ExcryptClient
from tests.support.service_manager import ServiceManager
from tests.support.upgrading import PATIENT, Service, run, service

ENDED = "the process before has ended"
FAILED = "upgrade failed, this process goes on"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("journal", "steps"),
    [(True, ("reload", "upgrade", "reload", "upgrade", "reload")), (False, ("upgrade",))],
    ids=["journal", "no journal"],
)
async def test_reloads_and_upgrades_under_load_lose_nothing(
    pki: PkiFiles, tmp_path: Path, journal: bool, steps: tuple[str, ...]
) -> None:
    """The short run; `make soak` has the long one."""
    group = PATIENT + (f"    writes: {{journal: {tmp_path / 'writes.journal'}}}\n" if journal else "")
    async with service(pki, tmp_path, group=group) as started:
        await run(started, client_tls(pki, "vault-1"), steps, clients=24)


def change(started: Service, old: str, new: str) -> None:
    text = started.config.read_text()
    assert old in text
    started.config.write_text(text.replace(old, new))


@pytest.mark.timeout(300)
async def test_an_upgrade_that_fails_changes_nothing(pki: PkiFiles, tmp_path: Path) -> None:
    async with service(pki, tmp_path, elsewhere="upgrade: {ready: 1ms}\n") as started:
        client = await ExcryptClient.connect(started.proxy.address, client_tls(pki, "vault-1"))
        for number, (old, new, why) in enumerate(
            [
                ("ready: 1ms", "ready: 1ms", "did not serve within upgrade.ready"),
                ("ready: 1ms", "ready: 50s", ""),  # applied by a reload, for what follows
                ("size: 1024", "size: 1023", "reload it first"),  # its clients and the new ones by two rules
                ("size: 1023", "size: 1024", ""),
                ("role: primary", "role: primry", "exit code 1"),
                ("role: primry", "role: primary", ""),
                ("    queue:", f"    writes: {{journal: {tmp_path / 'other'}}}\n    queue:", "exit code 1"),
            ]
        ):
            change(started, old, new)
            if not why:
                if "50s" in new:
                    await started.reload()
                continue
            os.kill(started.pid, signal.SIGUSR2)
            await started.until(
                "upgrade failed, this process goes on", started.count("upgrade failed, this process goes on") + 1
            )
            assert why in str(started.proxy.event(FAILED)["reason"]), number
            request = b"[AOGPKS;AG%d;BD4;LA%d;]" % (number, number)
            assert (await client.request(request)).startswith(b"[AOGPKS;")
            late = await ExcryptClient.connect(started.proxy.address, client_tls(pki, "vault-1"))
            assert await late.request(b"[AOECHO;AGx;]") == b"[AOECHO;AGx;]"
            late.close()
        client.close()


@pytest.mark.timeout(300)
async def test_what_operators_want_is_handed_over_and_holds_in_both(pki: PkiFiles, tmp_path: Path) -> None:
    async with service(pki, tmp_path) as started:
        tls = client_tls(pki, "vault-1")
        stays = await ExcryptClient.connect(started.proxy.address, tls)
        assert await stays.request(b"[AOECHO;AGx;]") == b"[AOECHO;AGx;]"
        admin = Bind(host=started.proxy.admin[0], port=started.proxy.admin[1])
        assert (await ask(admin, "POST", "/groups/payments/devices/hsm2/drain")).status == 200
        await started.upgrade()
        status = (await ask(admin, "GET", "/status")).json
        assert {device["name"]: device["will"] for device in status["groups"][0]["devices"]} == {
            "hsm1": "ready",
            "hsm2": "drain",
            "hsm3": "ready",
        }
        assert (await ask(admin, "POST", "/groups/payments/devices/hsm3/drain")).status == 200
        with trio.fail_after(30):  # told to the old process too, whose client is still there
            while True:
                before = len(started.devices["hsm3"].journal.of("RAND"))
                for _ in range(8):
                    await stays.request(b"[AORAND;]")
                if len(started.devices["hsm3"].journal.of("RAND")) == before:
                    break
        assert not started.devices["hsm2"].journal.of("RAND")[8:]
        stays.close()
        await started.until_gone(started.pids[:1])


@pytest.mark.timeout(300)
async def test_a_reload_after_the_hand_over_holds_for_clients_of_the_old_process_too(
    pki: PkiFiles, tmp_path: Path
) -> None:
    async with service(pki, tmp_path) as started:
        stays = await ExcryptClient.connect(started.proxy.address, client_tls(pki, "vault-1"))
        assert await stays.request(b"[AOECHO;AGx;]") == b"[AOECHO;AGx;]"
        await started.upgrade()
        await started.until("serving", 2)
        await started.reload()  # of the same: nobody notices
        assert (await stays.request(b"[AORAND;]")).startswith(b"[AORAND;")
        change(started, "    queue:", "    functions: {block: [GPKS]}\n    queue:")
        await started.reload()
        with trio.fail_after(30), suppress(Closed):  # it has to come back, to the new one
            while True:
                answer = await stays.request(b"[AOGPKS;AG1;BD4;LA1;]")
                assert b"AM908" in answer, answer
        stays.close()
        assert not any(started.orders().values())
        await started.until_gone(started.pids[:1], 10)


@pytest.mark.timeout(300)
async def test_a_stop_soon_after_a_hand_over_drains_both(pki: PkiFiles, tmp_path: Path) -> None:
    async with service(pki, tmp_path) as started:
        stays = await ExcryptClient.connect(started.proxy.address, client_tls(pki, "vault-1"))
        await started.upgrade()
        await started.until("serving", 2)
        os.kill(started.pid, signal.SIGTERM)
        with trio.fail_after(20), suppress(Closed):
            while True:
                await stays.request(b"[AORAND;]")
                await trio.sleep(0.01)
        stays.close()
        await started.until_gone(started.pids, 20)
        assert [line["event"] for line in started.proxy.lines].count("stopped") == 2
        ends = [line["event"] for line in started.proxy.lines if line["event"] in ("stopped", ENDED)]
        assert ends == ["stopped", ENDED, "stopped"], "the service must outlive those that it has to wait for"


@pytest.mark.timeout(300)
async def test_the_end_of_the_new_process_is_noticed(pki: PkiFiles, tmp_path: Path) -> None:
    async with service(pki, tmp_path) as started:
        stays = await ExcryptClient.connect(started.proxy.address, client_tls(pki, "vault-1"))
        await started.upgrade()
        await started.until("serving", 2)
        os.kill(started.pid, signal.SIGKILL)
        await started.until("the process that took over has ended: this one drains and ends too", 1, 10)
        stays.close()
        await started.until_gone(started.pids[:1], 20)


@pytest.mark.timeout(300)
async def test_systemd_is_told_who_the_service_is_now(pki: PkiFiles, tmp_path: Path) -> None:
    manager = ServiceManager(str(tmp_path / "notify"))
    try:
        async with service(pki, tmp_path, environment={"NOTIFY_SOCKET": manager.address}) as started:
            old = started.pid
            await started.upgrade()
            heard: list[tuple[int, str]] = []
            with trio.fail_after(30):
                while (started.pid, "READY=1") not in heard:
                    heard += manager.heard_so_far()
                    await trio.sleep(0.02)
            said = heard.index((old, f"MAINPID={started.pid}"))
            assert all(pid == old for pid, _ in heard[:said]), "who is not yet the service must be silent"
            assert all(pid == started.pid for pid, _ in heard[said + 1 :])
            await started.until_gone([old])
    finally:
        manager.close()
