"""Learning from real traffic, through the real proxy, over the real admin port."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
import trio

from config.model import Bind
from guardian.admin.server import serve_admin
from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.latency import Constant
from tests.guardian.test_learning import texts
from tests.support.admin_port import ask
from tests.support.estate import QUICK, Estate, device_tls, estate
from tests.support.excrypt_client import ExcryptClient

CLEAR = """
  - {name: clear, bind: "127.0.0.1:0", group: payments, tls: {mode: clear}}
"""


@asynccontextmanager
async def world_with_admin(pki: PkiFiles, folder: Path, **settings: object) -> AsyncIterator[tuple[Estate, Bind]]:
    # Guardian's own certificate must be nobody's there, or no request would need a login.
    devices = {
        name: SimulatedDevice(name, tls=device_tls(pki, name), certificate_login=False) for name in ("hsm1", "hsm2")
    }
    async with estate(pki, folder, devices, listener=CLEAR, **settings) as world, trio.open_nursery() as nursery:  # type: ignore[arg-type]
        bound = await nursery.start(serve_admin, world.proxy.config.admin, world.proxy)
        yield world, bound
        nursery.cancel_scope.cancel()


async def over_clear(world: Estate) -> ExcryptClient:
    host, _, port = world.proxy.intake.addresses["clear"].rpartition(":")
    client = await ExcryptClient.connect((host, int(port)), None)
    world.clients.append(client)
    return client


async def test_the_login_of_emulated_devices_is_found(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_with_admin(pki, tmp_path) as (world, bound):
        begun = await ask(bound, "POST", "/learning", b'{"for": "1m"}', content_type="application/json")
        assert begun.status == 200
        for _ in range(3):
            user = await world.client()
            assert b"ANY" in await user.request(b"[AORKLG;DAcrypto1;CHsafest1;]")
            assert b"AORKEY" in await user.request(b"[AORKEY;FS2;AGu;]")
        careless = await world.client("vault-2")
        assert b"AOERRO" in await careless.request(b"[AORKEY;FS2;]")
        assert b"ANN" in await careless.request(b"[AORKLG;DAcrypto1;CHwrong;]")
        assert b"AOERRO" in await careless.request(b"[AORKEY;FS2;]")
        assert b"ANY" in await careless.request(b"[AORKLG;DAcrypto1;CHsafest1;]")
        assert b"AORKEY" in await careless.request(b"[AORKEY;FS2;]")
        stranger = await over_clear(world)
        assert await stranger.request(b"[AOECHO;AGhello;]") == b"[AOECHO;AGhello;]"
        await ask(bound, "POST", "/learning/stop")
        found = (await ask(bound, "GET", "/learning")).json["groups"]["payments"]
    assert 'sessions: {login: [{command: RKLG, success: {tag: AN, value: "Y"}}], logins_required: 1}' in found["yaml"]
    assert "# sessions, sure: RKLG (a known login) came first on 3 of 5" in found["yaml"]
    assert "RKEY failed before RKLG and succeeded after it" in found["yaml"]
    assert '- {match: {common_name: "vault-1"}, functions: {mode: detect, allow: [RKEY, RKLG]}}' in found["yaml"]
    names = [client["name"].partition(" (")[0] for client in found["clients"]]
    assert names == ["vault-1", "vault-2", "127.0.0.1"]
    assert found["logins"][0]["unlocked"] == {"RKEY": 1}


async def test_no_value_gets_into_report_log_or_memory(pki: PkiFiles, tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with world_with_admin(pki, tmp_path) as (world, bound):
            await ask(bound, "POST", "/learning", b'{"for": "1m"}', content_type="application/json")
            told: list[str] = []
            for number, client in enumerate((await world.client(), await over_clear(world))):
                for code in ("ECHO", "RKLG", "ZZZ9", "RSAS", "GPGS", "RAND", "VPIN"):
                    fields = [
                        f"{tag}Canary-{number}-{code}-{tag}" for tag in ("AG", "AM", "AN", "BB", "CH", "DA", "BD")
                    ]
                    told += [field[2:] for field in fields]
                    await client.request(f"[AO{code};{';'.join(fields)};]".encode())
            kept = "".join(texts(watched.learning) for watched in world.proxy.lessons._watched)
            await ask(bound, "POST", "/learning/stop")
            shown = (await ask(bound, "GET", "/learning")).body.decode()
            kept += "".join(texts(watched.learning) for watched in world.proxy.lessons._watched)
    assert json.loads(shown)["requests"] == 14
    assert "anary" not in kept + shown + str(logs)
    assert told


@pytest.mark.parametrize(("pipeline", "expected"), [(1, "not seen"), (4, "likely")])
async def test_order_is_only_said_where_several_were_outstanding(
    pipeline: int, expected: str, pki: PkiFiles, tmp_path: Path
) -> None:
    roles = {name: f"role: {role}, connections: 1, pipeline: {pipeline}" for name, role in
             (("hsm1", "primary"), ("hsm2", "production"))}  # fmt: skip
    async with world_with_admin(pki, tmp_path, roles=roles, group=QUICK) as (world, bound):
        for device in world.devices.values():
            device.workload.latency = Constant(0.02)
        await ask(bound, "POST", "/learning", b'{"for": "1m"}', content_type="application/json")
        client = await world.client()
        with trio.move_on_after(3):
            while world.proxy.lessons._watched[0].learning.pipeline.several < 25:
                for number in range(16):
                    await client.send(b"[AOECHO;AGn%d;]" % number)
                for _ in range(16):
                    await client.receive()
                if pipeline == 1 and world.proxy.lessons._watched[0].learning.pipeline.looks > 10:
                    break
        await ask(bound, "POST", "/learning/stop")
        found = (await ask(bound, "GET", "/learning")).json["groups"]["payments"]
    [proposal] = [proposal for proposal in found["proposals"] if proposal["key"] == "pipeline"]
    assert proposal["sure"] == expected
    assert found["pipeline"]["misfits"] == 0
