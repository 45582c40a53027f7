"""A value is put everywhere a secret may stand, and is then found nowhere: in no log, metric, page, status, or record.

The canaries are of five kinds, and each is put in by the way it comes in for real: fields of requests and answers,
passwords of logins, the admin token, keys and their passwords, the environment. Then everything goes wrong that can.
"""

from __future__ import annotations

import base64
import json
import secrets
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import pytest
import trio
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from trio_websocket import open_websocket

from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.faults import Fault
from loadtest.simhsm.identity import Directory, Identity
from tests.support.audit import verified
from tests.support.estate import QUICK, client_tls, configuration, device_tls
from tests.support.excrypt_client import Closed, ExcryptClient
from tests.support.process import Running, running
from tests.support.rsyslog import Receiver, free_port, needs_rsyslog

FIELD = b"CANARYFIELD" + secrets.token_hex(8).upper().encode()
ANSWER = b"CANARYANSWER" + secrets.token_hex(8).upper().encode()
PASSWORD = b"CANARYPASSWORD" + secrets.token_hex(8).upper().encode()
TOKEN = b"CANARYTOKEN" + secrets.token_hex(8).upper().encode()
KEY_PASSWORD = b"CANARYKEYPASSWORD" + secrets.token_hex(8).upper().encode()
ENVIRONMENT = b"CANARYENVIRONMENT" + secrets.token_hex(8).upper().encode()
AUDIT_KEY = b"CANARYAUDITKEY" + secrets.token_hex(8).upper().encode()
CODE = b"[AOECHO;AG%b;]"

RULES = """
    sessions: {failures: 3, logout: [RKLO]}
    functions: {block: [GPKD]}
    request_timeout: 1s
    context: inject
"""


@attrs.define
class Place:
    """One running proxy with everything in it that may tell, and what it has told."""

    proxy: Running
    pki: PkiFiles
    devices: dict[str, SimulatedDevice]
    folder: Path
    config: Path
    receiver: Receiver | None
    answers: list[bytes] = attrs.field(factory=list)  # of the admin port

    async def client(self, name: str = "vault-1") -> ExcryptClient:
        return await ExcryptClient.connect(self.proxy.address, client_tls(self.pki, name))

    def count(self, event: str) -> int:
        return sum(line.get("event") == event for line in self.proxy.lines)

    async def ask(self, method: str, path: str, *, token: bytes | None = TOKEN, body: bytes = b"") -> bytes:
        """One request to the admin port; keeps the answer."""
        host, port = self.proxy.admin
        head = [f"{method} {path} HTTP/1.1".encode(), f"Host: {host}:{port}".encode(), b"Connection: close"]
        if token is not None:
            head.append(b"Authorization: Bearer " + token)
        if body:
            head += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
        stream = await trio.open_tcp_stream(host, port)
        async with stream:
            received = b""
            try:
                await stream.send_all(b"\r\n".join(head) + b"\r\n\r\n" + body)
                async for data in stream:
                    received += data
            finally:
                self.answers.append(received)
        return received


def canaries(pki: PkiFiles, key: Path) -> dict[str, bytes]:
    """Each by its name: as it stands there, and as it would be if somebody had encoded it."""
    texts = {
        "field": FIELD, "answer": ANSWER, "password": PASSWORD, "token": TOKEN, "key password": KEY_PASSWORD,
        "environment": ENVIRONMENT, "audit key": AUDIT_KEY,
    }  # fmt: skip
    found = {}
    for name, text in texts.items():
        found[name] = text
        found[f"{name} in hex"] = text.hex().encode()
        found[f"{name} in base64"] = base64.b64encode(text)[2:-4]
    private = load_pem_private_key(pki.server.key.read_bytes(), None)
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for name, lines in (("key file", key.read_text()), ("plain key", pki.server.key.read_text())):
        found |= {
            f"{name}, line {n}": line.encode() for n, line in enumerate(lines.splitlines()[1:-1]) if len(line) > 30
        }
    return {**found, "key in DER": der[-40:]}


@asynccontextmanager
async def place(pki: PkiFiles, folder: Path) -> AsyncIterator[Place]:
    identities = Directory(identities=(Identity(name=FIELD.decode(), password=PASSWORD.decode()),)).open_to_all()
    devices = {
        name: SimulatedDevice(name, tls=device_tls(pki, name), directory=identities, certificate_login=False)
        for name in ("hsm1", "hsm2")
    }
    key = folder / "guardian.key"
    private = load_pem_private_key(pki.server.key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(KEY_PASSWORD))  # type: ignore[union-attr]
    )
    for name, text in (("token", TOKEN), ("password", KEY_PASSWORD), ("audit.key", AUDIT_KEY)):
        (folder / name).write_bytes(text + b"\n")
        (folder / name).chmod(0o600)
    receiver = None
    with suppress(pytest.skip.Exception):
        needs_rsyslog()
        (folder / "rsyslog").mkdir()
        receiver = Receiver(folder / "rsyslog", free_port())
    async with trio.open_nursery() as nursery:
        for device in devices.values():
            await nursery.start(device.serve)
        roles = {"hsm1": "primary", "hsm2": "production"}
        entries = {n: f'address: "127.0.0.1:{d.port}", role: {roles[n]}' for n, d in devices.items()}
        text = configuration(pki, entries, group=QUICK.replace("request_timeout: 5s", "") + RULES)
        text = text.replace(f"key: {pki.server.key}", f"key: {key}, key_password_file: {folder}/password")
        text = text.replace(
            'admin: {bind: "127.0.0.1:0"}', f'admin: {{bind: "127.0.0.1:0", token_file: {folder}/token}}'
        )
        syslog = f', syslog: {{address: "127.0.0.1:{receiver.port}", tls: {{mode: clear}}}}' if receiver else ""
        text += f"audit: {{file: {folder}/audit.log, key_file: {folder}/audit.key{syslog}}}\n"
        text += 'logs: {level: debug, format: json}\nerrors: {busy: {text: "${env:GUARDIAN_CANARY}"}}\n'
        path = folder / "guardian.yaml"
        path.write_text(text)
        async with trio.open_nursery() as inner:
            if receiver is not None:
                await inner.start(_receive, receiver)
            async with running(path, environment={"GUARDIAN_CANARY": ENVIRONMENT.decode()}) as proxy:
                yield Place(proxy, pki, devices, folder, path, receiver)
            inner.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def _receive(receiver: Receiver, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    async with receiver.running():
        task_status.started()
        await trio.sleep_forever()


async def requests(world: Place) -> None:
    """Good ones, blocked ones, malformed ones, logins; and devices that answer badly, late or not at all."""
    client = await world.client()
    with trio.fail_after(30):
        while b"AM902" in await client.request(CODE % FIELD):
            await trio.sleep(0.02)
    login = b"[AORKLG;DA%b;CH%b;]"
    for request in (
        b"[AOGPKD;AK%b;AG%b;]" % (FIELD, FIELD),
        b"[AORAND;AG%b;]" % FIELD,
        b"[AOGPKS;BB%b;]" % FIELD,
        login % (FIELD, PASSWORD),
        b"[AOHMAC;BO%b;]" % FIELD.hex().encode(),
        b"[AOQQQQ;AK%b;]" % FIELD,
    ):
        await client.request(request)
    for _ in range(5):
        await client.request(login % (FIELD, FIELD))
    client.close()
    for junk in (b"[AOECHO;AK%b[;]", b"%b]", b"[AO%b;]", b"[AOECHO;AK\x00%b;]", b"\x16\x03\x01%b]"):
        client = await world.client("vault-2")
        with suppress(Closed):
            await client.send(junk % FIELD)
            await client.receive()
        client.close()
    world.devices["hsm1"].hsm.firmware = ANSWER.decode()
    faults = [Fault.garbage("RAND"), Fault.wrong_echo("ECHO"), Fault.wrong_code("ECHO"), Fault.reset("RAND")]
    faults += [Fault.error("ECHO", text=ANSWER.decode()), Fault.mute("HMAC"), Fault.close("RAND")]
    for fault in faults:
        for device in world.devices.values():
            device.fault = fault
        client = await world.client("vault-2")
        with suppress(Closed), trio.move_on_after(4):
            for code in (b"ECHO", b"RAND", b"HMAC"):
                await client.request(b"[AO%b;BO%b;AG%b;]" % (code, FIELD, FIELD))
        client.close()
    for device in world.devices.values():
        device.fault = None


async def strangers(world: Place) -> None:
    """Handshakes and admin requests that are refused, with a secret in them."""
    for data in (b"GET /%b HTTP/1.1\r\n\r\n" % TOKEN, b"\x16\x03\x01" + FIELD, FIELD * 100):
        stream = await trio.open_tcp_stream(*world.proxy.address)
        async with stream:
            with suppress(trio.BrokenResourceError), trio.move_on_after(2):
                await stream.send_all(data)
                await stream.send_eof()
                while await stream.receive_some(4096):
                    pass
    with suppress(Closed, ssl.SSLError):
        nobody = ssl.create_default_context(cafile=str(world.pki.ca))
        (await ExcryptClient.connect(world.proxy.address, nobody)).close()
    for method, path in (("GET", "/status"), ("GET", "/nothing"), ("POST", "/groups/none/devices/hsm1/drain")):
        await world.ask(method, path)
        await world.ask(method, path, token=FIELD)
    await world.ask("POST", "/learning", body=b'{"for": "%b"}' % FIELD)
    await world.ask("POST", "/learning", body=b"{%b" % FIELD)


async def look_at_everything(world: Place) -> None:
    document = await world.ask("GET", "/openapi.json")
    paths = {"/", "/livez", "/readyz", "/metrics", "/status", "/learning", "/feed", "/tail", "/events", "/config"}
    with suppress(ValueError, KeyError):
        known = json.loads(document.partition(b"\r\n\r\n")[2])["paths"]
        paths |= {path for path, methods in known.items() if "get" in methods and "{" not in path}
    assert b"200" in (await world.ask("GET", "/status")).split(b"\r\n")[0]
    async with trio.open_nursery() as nursery:
        for path in paths:
            nursery.start_soon(world.ask, "GET", path)
        nursery.cancel_scope.deadline = trio.current_time() + 1.5  # streams have no end


async def watch(world: Place) -> None:
    """What the dashboard is told, until cancelled."""
    host, port = world.proxy.admin
    headers = [(b"Authorization", b"Bearer " + TOKEN)]
    async with open_websocket(host, port, "/feed", use_ssl=False, extra_headers=headers) as socket:
        while True:
            message = await socket.get_message()
            world.answers.append(message if isinstance(message, bytes) else message.encode())


async def reload(world: Place, spoil: str, by: str) -> None:
    """With a mistake in the file, in which the environment's value stands too."""
    good = world.config.read_text()
    assert spoil in good
    world.config.write_text(good.replace(spoil, by))
    before = world.count("reload failed, the old configuration stays")
    world.proxy.send(signal.SIGHUP)
    with trio.fail_after(20):
        while world.count("reload failed, the old configuration stays") == before:
            await trio.sleep(0.02)
    world.config.write_text(good)


def no_core_can_be_made(pid: int) -> None:
    """By its limits, and by being nobody's to look into; tests/guardian/test_secrecy.py kills one to see."""
    [line] = [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core")]
    assert line.split()[4:6] == ["0", "0"]
    assert Path(f"/proc/{pid}/environ").stat().st_uid == 0  # what may be dumped belongs to who started it


async def test_no_secret_comes_out_anywhere(pki: PkiFiles, tmp_path: Path) -> None:
    async with place(pki, tmp_path) as world:
        await world.ask("POST", "/learning", body=b'{"for": "2m"}')
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, world)
            nursery.start_soon(world.ask, "GET", "/tail")
            await requests(world)
            await strangers(world)
            nursery.cancel_scope.cancel()
        await world.ask("POST", "/learning/stop")
        await world.ask("POST", "/groups/payments/devices/hsm2/drain")
        await look_at_everything(world)
        (tmp_path / "password").write_bytes(b"not " + KEY_PASSWORD)
        await reload(world, "interval: 800ms", "interval: 801ms")
        (tmp_path / "password").write_bytes(KEY_PASSWORD)
        await reload(world, "slow_start: 500ms", 'slow_start: "${env:GUARDIAN_CANARY}"')
        await reload(world, "listeners:", 'listenerz: "${env:GUARDIAN_CANARY}"\nlisteners:')
        await look_at_everything(world)
        if world.receiver is not None:
            await world.receiver.until("reload", "blocked", "login")
        no_core_can_be_made(world.proxy.process.pid)
        world.proxy.send(signal.SIGTERM)
        with trio.fail_after(20):
            await world.proxy.process.wait()
        told = {
            "log": json.dumps(world.proxy.lines).encode(),
            "admin": b"".join(world.answers),
            "audit": (tmp_path / "audit.log").read_bytes(),
            "syslog": world.receiver.output.read_bytes() if world.receiver is not None else b"",
        }
        secret = canaries(pki, tmp_path / "guardian.key")
    found = [(name, where) for where, text in told.items() for name, value in secret.items() if value in text]
    assert not found, shown_around(told, secret, found)
    prove_that_it_would_have_been_found(told)
    kinds = {(record.fields["kind"], record.fields["result"]) for record in verified(tmp_path / "audit.log").records}
    assert {("blocked", "blocked"), ("login", "ok"), ("login", "refused"), ("login", "limited")} <= kinds
    assert {("client", "malformed"), ("client", "refused"), ("reload", "failed"), ("will", "drain")} <= kinds


def shown_around(told: dict[str, bytes], secret: dict[str, bytes], found: list[tuple[str, str]]) -> list[bytes]:
    """What stands there, for who has to find out why."""
    places = ((told[where], told[where].index(secret[name])) for name, where in found)
    return [text[max(at - 200, 0) : at + 100] for text, at in places]


def prove_that_it_would_have_been_found(told: dict[str, bytes]) -> None:
    """Each place was really written to, by the things that carried the canaries."""
    for word in (b"client refused", b"request not served", b"reload failed", b"device connection lost"):
        assert word in told["log"], word
    assert told["admin"].count(b"HTTP/1.1 200") > 8
    for word in (b"guardian_requests_total", b'"audit":'):
        assert word in told["admin"]
    assert len(told["audit"].splitlines()) > 15
