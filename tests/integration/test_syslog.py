"""Every event reaches a real syslog receiver, as one message, whatever stands in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from guardian.events import Actor, Kind
from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from tests.support.estate import Estate, device_tls, estate
from tests.support.rsyslog import Receiver, free_port, needs_rsyslog

NASTY = Actor(name='a]"\\ b\n<14>1 - - forged - - x\x00\x1b[31mé', source="192.0.2.7")


def receiver(folder: Path, pki: PkiFiles, driver: str = "") -> Receiver:
    needs_rsyslog(driver)
    (folder / "rsyslog").mkdir()
    return Receiver(folder / "rsyslog", free_port(), driver, pki)


def settings(found: Receiver, pki: PkiFiles, more: str = "") -> str:
    ours = pki.proxy_client
    tls = f"{{certificate: {ours.certificate}, key: {ours.key}, ca: [{pki.ca}]}}" if found.driver else "{mode: clear}"
    return f'audit: {{syslog: {{address: "127.0.0.1:{found.port}", facility: local3, tls: {tls}{more}}}}}\n'


async def until_connected(world: Estate, connected: bool = True) -> None:
    with trio.fail_after(20):
        while True:
            shown = world.proxy.snapshot().audit.syslog
            assert shown is not None
            if shown.connected is connected:
                return
            await trio.sleep(0.02)


@pytest.mark.parametrize("driver", ["", "ossl", "gtls"])
async def test_events_arrive_whole_over_tcp_and_mutual_tls(pki: PkiFiles, tmp_path: Path, driver: str) -> None:
    found = receiver(tmp_path, pki, driver)
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with found.running(), estate(pki, tmp_path, devices, elsewhere=settings(found, pki)) as world:
        await until_connected(world)
        world.proxy.events.tell(Kind.WILL, "payments/hsm1", "drain", by=NASTY, detail="for the night")
        messages = await found.until("for the night")
        [message] = [each for each in messages if "for the night" in each["msg"]]
        assert message["pri"] == str(19 * 8 + 5)
        assert (message["app-name"], message["msgid"], message["procid"]) == ("guardian", "will", str(os.getpid()))
        data = message["structured-data"]
        assert data.startswith("[guardian@32473 event=")
        assert data.endswith("]")
        assert r'who="a\]\"\\ b\\x0a<14>1 - - forged - - x\\x00\\x1b[31m\\xe9"' in data
        assert 'what="payments/hsm1" result="drain" detail="for the night"' in data
        assert 'source="192.0.2.7"' in data
        assert not [each for each in messages if each["app-name"] != "guardian"], "nothing was forged"


async def test_a_receiver_that_goes_and_comes_back_gets_what_waited(pki: PkiFiles, tmp_path: Path) -> None:
    """And nobody waits for it: what does not fit is counted."""
    found = receiver(tmp_path, pki)
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with estate(pki, tmp_path, devices, elsewhere=settings(found, pki, ", queue: 50")) as world:
        await until_connected(world, False)
        for number in range(100):
            world.proxy.events.tell(Kind.WILL, f"payments/early{number}", "ready")
        shown = world.proxy.snapshot().audit.syslog
        assert shown is not None
        assert shown.dropped > 0
        client = await world.client()
        assert await client.request(b"[AOECHO;AGx;]") == b"[AOECHO;AGx;]"
        async with found.running():
            await until_connected(world)
            await found.until("payments/early40")
        await until_connected(world, False)
        world.proxy.events.tell(Kind.WILL, "payments/while-away", "ready")
        async with found.running():
            await found.until("payments/while-away")


async def test_what_waits_when_it_stops_is_sent(pki: PkiFiles, tmp_path: Path) -> None:
    found = receiver(tmp_path, pki)
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with found.running():
        async with estate(pki, tmp_path, devices, elsewhere=settings(found, pki)) as world:
            await until_connected(world)
            for number in range(300):
                world.proxy.events.tell(Kind.STOP, f"last words {number}", "stopped")
        await found.until("last words 299")
        assert sum("last words" in each["msg"] for each in found.messages()) == 300


async def test_a_receiver_with_another_certificate_gets_nothing(pki: PkiFiles, tmp_path: Path) -> None:
    found = receiver(tmp_path, pki, "ossl")
    text = settings(found, pki).replace("tls: {", "tls: {name: syslog.example, ")
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with found.running(), estate(pki, tmp_path, devices, elsewhere=text) as world:
        with trio.fail_after(20):
            while True:
                shown = world.proxy.snapshot().audit.syslog
                assert shown is not None
                if "certificate is not for 'syslog.example'" in shown.reason:
                    break
                await trio.sleep(0.02)
        assert shown.sent == 0
