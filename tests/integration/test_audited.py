"""Whatever somebody will be asked about leaves one event: who, what, from where, and what came of it."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

import pytest
import trio

from balancer.snapshot import AuditState
from config.catalogue import load_catalogue
from config.loader import load
from guardian.admin.status import unready
from guardian.audit.chain import Place
from guardian.audit.file import AuditFile
from guardian.events import Event, Kind
from guardian.pki import PkiFiles, make_pki
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.identity import DEFAULT_DIRECTORY, Directory, Identity
from tests.support.audit import verified
from tests.support.estate import QUICK, Estate, apply, device_tls, estate
from tests.support.excrypt_client import Closed, ExcryptClient

RULES = """
    functions: {block: [GPKD]}
    sessions: {failures: 2, logout: [RKLO]}
    clients:
      - {match: {common_name: vault-1}, functions: {allow: ["*"]}}
      - {match: {common_name: vault-2}, functions: {allow: [ECHO]}}
    unmatched: refuse
"""
LOGIN, WRONG = b"[AORKLG;DAcrypto1;CHsafest1;]", b"[AORKLG;DAcrypto1;CHwrong;]"
SECRETS = (b"crypto1", b"safest1", b"wrong")


def follow(world: Estate, *kinds: Kind) -> list[Event]:
    """Events of those kinds from now on."""
    heard: list[Event] = []
    world.proxy.events.subscribe(lambda event: heard.append(event) if event.kind in kinds else None)
    return heard


def brief(events: list[Event]) -> list[tuple[str, str, str, str]]:
    return [(event.who, event.source, event.what, event.result) for event in events]


async def until(heard: list[Event], count: int) -> None:
    with trio.fail_after(30):
        while len(heard) < count:
            await trio.sleep(0.005)


async def refused(world: Estate, tls: ssl.SSLContext | None) -> None:
    """Connect, and be shown out: with TLS 1.3 that is heard only when something is read."""
    with contextlib.suppress(Closed):
        client = await ExcryptClient.connect(world.address, tls)
        world.clients.append(client)
        with contextlib.suppress(Closed):
            await client.send(b"[AOECHO;]" * 10)
        assert await client.receive() == b""


async def test_blocks_and_logins_say_who_by_certificate_and_never_a_value(pki: PkiFiles, tmp_path: Path) -> None:
    devices = {name: SimulatedDevice(name, tls=device_tls(pki, name)) for name in ("hsm1", "hsm2")}
    async with estate(pki, tmp_path, devices, group=QUICK + RULES) as world:
        heard = follow(world, Kind.BLOCKED, Kind.LOGIN, Kind.CLIENT)
        client, narrow = await world.client(), await world.client("vault-2")
        for request in (b"[AOGPKD;AKsecret;]", LOGIN, b"[AOECHO;]", WRONG, WRONG, LOGIN):
            await client.request(request)
        await narrow.request(b"[AORKEY;FS2;]")
        await client.send(b"[AOECHO;crypto1")
        await client.send(b"[x]")
        await client.ended()
        assert brief(heard) == [
            ("vault-1", "127.0.0.1", "payments/GPKD", "blocked"),
            ("vault-1", "127.0.0.1", "payments/RKLG", "ok"),
            ("vault-1", "127.0.0.1", "payments/RKLG", "refused"),
            ("vault-1", "127.0.0.1", "payments/RKLG", "refused"),
            ("vault-1", "127.0.0.1", "payments/RKLG", "limited"),
            ("vault-2", "127.0.0.1", "payments/RKEY", "blocked"),
            ("vault-1", "127.0.0.1", "excrypt", "malformed"),
        ]
        assert not [value for value in SECRETS if value in repr(heard).encode()]


async def test_a_login_that_another_device_refuses_is_told(pki: PkiFiles, tmp_path: Path) -> None:
    nobody = Directory(identities=(Identity(name="somebody-else", password="x"),))
    devices = {
        "hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"), directory=DEFAULT_DIRECTORY),
        "hsm2": SimulatedDevice("hsm2", tls=device_tls(pki, "hsm2"), directory=nobody),
    }
    async with estate(pki, tmp_path, devices) as world:
        heard = follow(world, Kind.LOGIN)
        client = await world.client()
        while b"ANY" not in await client.request(LOGIN):
            pass
        with trio.fail_after(30):
            while not [event for event in heard if event.result == "replay_refused"]:
                await client.request(b"[AORKEY;FS2;]")
        [event] = [event for event in heard if event.result == "replay_refused"]
        assert (event.who, event.what) == ("guardian", "payments/hsm2")
        assert "client sha256:" in event.detail, "whose login it was"


async def test_refused_certificates_and_handshakes_are_told(pki: PkiFiles, tmp_path: Path) -> None:
    other = make_pki(tmp_path / "other", algorithm="ecdsa", clients=("vault-1",), devices={}, days=1)
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with estate(pki, tmp_path, devices, group=QUICK + RULES) as world:
        heard = follow(world, Kind.CLIENT)
        foreign = ssl.create_default_context(cafile=str(pki.ca))
        foreign.load_cert_chain(other.clients["vault-1"].certificate, other.clients["vault-1"].key)
        nobody = ssl.create_default_context(cafile=str(pki.ca))
        for count, tls in enumerate((foreign, nobody, world.tls("mallory"), None), start=1):
            await refused(world, tls)
            await until(heard, count)
        assert {event.what for event in heard} == {"excrypt"}
        assert {event.source for event in heard} == {"127.0.0.1"}
        assert [event.who for event in heard] == ["(no certificate)", "(no certificate)", "mallory", "(no certificate)"]
        assert [event.result for event in heard] == ["refused"] * 4
        assert "certificate verify failed" in heard[0].detail
        assert "unmatched" in heard[2].detail


async def test_a_look_whether_the_port_answers_is_no_event(pki: PkiFiles, tmp_path: Path) -> None:
    """Balancers look like this every second: 86,400 records a day of nothing."""
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with estate(pki, tmp_path, devices) as world:
        heard = follow(world, *Kind)
        for _ in range(3):
            stream = await trio.open_tcp_stream(*world.address)
            await stream.send_eof()
            while await stream.receive_some(100):
                pass
            await stream.aclose()
        assert heard == []


async def test_who_is_no_longer_admitted_after_a_reload_is_told(pki: PkiFiles, tmp_path: Path) -> None:
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with estate(pki, tmp_path, devices, group=QUICK + RULES) as world:
        heard = follow(world, Kind.CLIENT)
        client = await world.client("vault-2")
        await client.request(b"[AOECHO;]")
        world.config.write_text(world.config.read_text().replace("common_name: vault-2", "common_name: vault-3"))
        apply(world.proxy, world.config)
        assert brief(heard) == [("vault-2", "127.0.0.1", "excrypt", "no_longer_admitted")]


async def test_a_disk_that_refuses_stops_writes_and_nothing_else(
    pki: PkiFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """904 says that nothing was sent; when records are written again, so are writes."""
    path = tmp_path / "audit.log"
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"), directory=DEFAULT_DIRECTORY.open_to_all())}
    async with estate(pki, tmp_path, devices, elsewhere=f"audit: {{file: {path}}}\n") as world:
        client = await world.client()
        write = b"[AOGPKS;AG%d;]"
        assert b"AM904" not in await client.request(write % 1)
        with monkeypatch.context() as broken:
            broken.setattr(AuditFile, "append", refuse)
            world.proxy.events.tell(Kind.WILL, "payments/hsm1", "ready")
            await until_audit(world, AuditState.FAILING)
            assert await client.request(write % 2) == b"[AOERRO;AM904;ANAO;BBBUSY;AG2;]"
            assert b"AM904" in await client.request(b"[AOQQQQ;]"), "nobody knows what it does"
            assert await client.request(b"[AOECHO;AGx;]") == b"[AOECHO;AGx;]"
            assert unready(world.proxy.snapshot()) == [
                "writes are refused, since audit records cannot be written: No space left on device"
            ]
            assert world.proxy.snapshot().audit.failures
        await until_audit(world, AuditState.WRITING)
        assert b"AM904" not in await client.request(write % 3)
        assert not unready(world.proxy.snapshot())
        assert world.reached(write % 2) == 0
        assert world.reached(write % 3) == 1
    found = verified(path)
    assert not found.faults
    kinds = [(record.fields["kind"], record.fields["result"]) for record in found.records]
    assert ("will", "ready") in kinds, "it waited"
    assert kinds.index(("audit", "failed")) < kinds.index(("audit", "works again"))


async def test_continue_goes_on(pki: PkiFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"), directory=DEFAULT_DIRECTORY.open_to_all())}
    audit = f"audit: {{file: {tmp_path}/audit.log, on_failure: continue}}\n"
    async with estate(pki, tmp_path, devices, elsewhere=audit) as world:
        client = await world.client()
        with monkeypatch.context() as broken:
            broken.setattr(AuditFile, "append", refuse)
            world.proxy.events.tell(Kind.WILL, "payments/hsm1", "ready")
            await until_audit(world, AuditState.FAILING)
            assert b"AM904" not in await client.request(b"[AOGPKS;]")
            assert not unready(world.proxy.snapshot())


async def test_a_reload_moves_the_record_and_what_was_told_before_stays_behind(pki: PkiFiles, tmp_path: Path) -> None:
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with estate(pki, tmp_path, devices, elsewhere=f"audit: {{file: {first}}}\n") as world:
        for number in range(50):
            world.proxy.events.tell(Kind.WILL, f"payments/hsm{number}", "ready")
        world.config.write_text(world.config.read_text().replace(str(first), str(second)))
        apply(world.proxy, world.config)
        world.proxy.events.tell(Kind.WILL, "payments/after", "ready")
        world.config.write_text(world.config.read_text().replace(str(second), f"{tmp_path}/nowhere/audit.log"))
        with pytest.raises(OSError, match="nowhere"):
            apply_blindly(world)
        world.proxy.events.tell(Kind.WILL, "payments/later", "ready")
    assert len([record for record in verified(first).records if record.fields["kind"] == "will"]) == 50
    assert verified(first).records[-1].fields["result"] == "left", "who switches it off cannot do so unseen"
    assert [record.fields["what"] for record in verified(second).records if record.fields["kind"] == "will"] == [
        "payments/after",
        "payments/later",
    ]


def refuse(_file: AuditFile, _batch: object) -> Place:
    raise OSError(28, "No space left on device")


async def until_audit(world: Estate, state: AuditState) -> None:
    with trio.fail_after(30):
        while world.proxy.snapshot().audit.state is not state:
            await trio.sleep(0.01)


def apply_blindly(world: Estate) -> None:
    """As where the folder was there when the file was looked at, and is not any more."""
    config = load(world.config, read_files=False).config
    assert config is not None
    world.proxy.apply(config, load_catalogue(None)[0])
