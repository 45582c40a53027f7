"""`guardian fxpkcs11 check` against the real proxy: the connection a client would make, and which step of it fails."""

from __future__ import annotations

import functools
import select
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from config.fxpkcs11 import compose
from guardian.cli import execute
from guardian.pki import PkiFiles, make_pki
from loadtest.simhsm.device import SimulatedDevice
from tests.support.estate import QUICK, Estate, device_tls, estate
from tests.support.tls import authority, issue


def client_file(folder: Path, pki: PkiFiles, address: tuple[str, int], **changes: Sequence[str]) -> Path:
    """Good for that address but for ``changes``: tags with _ for -."""
    vault = pki.clients["vault-1"]
    tags: Mapping[str, Sequence[str]] = {
        "LABEL": ["payments"], "ADDRESS": [address[0]], "PROD-ENABLED": ["YES"], "PROD-PORT": [str(address[1])],
        "PROD-TLS-ENABLED": ["YES"], "PROD-TLS-ANONYMOUS": ["NO"], "PROD-TLS-CA": [str(pki.ca)],
        "PROD-TLS-CERT": [str(vault.certificate)], "PROD-TLS-KEY": [str(vault.p12)], "FX-LOAD-BALANCE": ["YES"],
        **{tag.replace("_", "-"): values for tag, values in changes.items()},
    }  # fmt: skip
    path = folder / "fxpkcs11.cfg"
    path.write_text(compose([("HSM", [(tag, value) for tag, values in tags.items() for value in values])]).render())
    return path


async def checked(path: Path, *args: str) -> int:
    return await trio.to_thread.run_sync(execute, ["fxpkcs11", "check", str(path), *args])


@asynccontextmanager
async def world(pki: PkiFiles, folder: Path, *, group: str = QUICK) -> AsyncIterator[Estate]:
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with estate(pki, folder, devices, group=group) as started:
        yield started


async def test_a_good_client_gets_its_answer(pki: PkiFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with world(pki, tmp_path) as on:
        path = client_file(tmp_path, pki, on.address)
        assert await checked(path) == 0
        out = capsys.readouterr().out
        for step in ("name  ok", "TCP   ok", "TLS   ok  TLSv1.3", "ECHO  ok  answered in"):
            assert step in out
        assert on.reached(b"[AOECHO;AGhi;]") == 1
        assert on.seen() == [b"[AOECHO;AGhi;]"]  # nothing else was asked
        # A file that still names the device, and where the proxy is said apart: tried there, and told.
        path = client_file(tmp_path, pki, on.address, ADDRESS=["10.0.8.30"])
        host, port = on.address
        assert await checked(path, "--address", f"{host}:{port}") == 1
        out = capsys.readouterr().out
        assert "ADDRESS: is 10.0.8.30, must be 127.0.0.1, where the proxy is" in out
        assert "ECHO  ok" in out


@pytest.mark.parametrize(
    ("changes", "step", "meaning"),
    [
        ({"PROD_TLS_CA": ["{other}"]}, "TLS   FAILED", "PROD-TLS-CA is not the CA of what answers there"),
        ({"PROD_TLS_CERT": ["{stranger}.crt"], "PROD_TLS_KEY": ["{stranger}.key"]}, "TLS   FAILED",
         "the listener does not believe the CA of PROD-TLS-CERT"),
        ({"PROD_TLS_ANONYMOUS": ["YES"]}, "TLS   FAILED", "PROD-TLS-ANONYMOUS must be NO"),
        ({"PROD_TLS_CERT": ["{server}.crt"], "PROD_TLS_KEY": ["{server}.key"]}, "TLS   FAILED",
         "its extendedKeyUsage must have clientAuth"),
        ({"PROD_TLS_ENABLED": ["NO"]}, "ECHO  FAILED", "PROD-TLS-ENABLED must be YES"),
    ],
)  # fmt: skip
async def test_the_step_that_fails_and_what_it_means(
    pki: PkiFiles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, list[str]],
    step: str,
    meaning: str,
) -> None:
    other = authority("Other CA")
    issue(other, "stranger").write(tmp_path, "stranger")
    names = {
        "other": other.write(tmp_path, "other")[0],
        "stranger": tmp_path / "stranger",
        "server": pki.server.certificate.with_suffix(""),
    }
    filled = {tag: [value.format(**names) for value in values] for tag, values in changes.items()}
    async with world(pki, tmp_path) as on:
        assert await checked(client_file(tmp_path, pki, on.address, **filled), "--timeout", "5") == 1
    out = capsys.readouterr().out
    assert step in out
    assert meaning in out.partition(step)[2]


async def test_a_client_that_no_rule_matches_is_told_so(
    pki: PkiFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    group = QUICK + "    unmatched: refuse\n    clients: [{match: {common_name: vault-2}, functions: {}}]\n"
    async with world(pki, tmp_path, group=group) as on:
        assert await checked(client_file(tmp_path, pki, on.address)) == 1
    assert "unmatched: refuse" in capsys.readouterr().out


async def test_a_group_without_a_device_is_told_so(
    pki: PkiFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(pki, tmp_path) as on:
        await on.devices["hsm1"].kill()
        with trio.fail_after(30):
            while on.device("hsm1").health.value != "down":
                await trio.sleep(0.01)
        assert await checked(client_file(tmp_path, pki, on.address)) == 1
    assert "error 902: the proxy works, and no device of the group serves" in capsys.readouterr().out


def test_nobody_there_is_3(pki: PkiFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # taken, and nobody listens
        path = client_file(tmp_path, pki, free.getsockname())
        assert execute(["fxpkcs11", "check", str(path)]) == 3
        assert "nobody listens there" in capsys.readouterr().out
        assert execute(["fxpkcs11", "check", str(path), "--no-connect"]) == 0
        assert "TCP" not in capsys.readouterr().out
    path = client_file(tmp_path, pki, ("nobody.invalid", 9100))
    assert execute(["fxpkcs11", "check", str(path)]) == 3
    assert "name  FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers there speaks no TLS"),
        (b"", "speaks no TLS"),
        (None, "speaks no TLS"),
    ],
)
def test_what_is_no_listener(
    pki: PkiFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str], says: bytes | None, told: str
) -> None:
    with somebody(says) as address:
        path = client_file(tmp_path, pki, address)
        assert execute(["fxpkcs11", "check", str(path), "--timeout", "0.5"]) == 1
    out = capsys.readouterr().out
    assert "TLS   FAILED" in out
    assert told in out


def test_what_answers_no_excrypt(pki: PkiFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for says, told in (
        (b"hello]", "no Excrypt message"),
        (b"[AOECHO;AGother;]", "does not repeat AG"),
        (b"[AOERRO;AM77;ANAO;BBsecret;]", "error 77: it comes from the device"),
        (b"[AOERRO;AMhunter2;]", "error without a number"),
    ):
        with somebody(says) as address:
            path = client_file(tmp_path, pki, address, PROD_TLS_ENABLED=["NO"])
            assert execute(["fxpkcs11", "check", str(path), "--timeout", "5"]) == 1
        out = capsys.readouterr().out
        assert told in out
        assert "secret" not in out
        assert "hunter2" not in out


@contextmanager
def somebody(says: bytes | None) -> Iterator[tuple[str, int]]:
    """Takes one connection, reads a little and answers; None: says nothing and keeps it open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(10)
                connection.recv(4096)
                if says is None:
                    while connection.recv(4096):
                        pass
                else:
                    connection.sendall(says)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            thread.join()


async def test_it_listens_before_it_speaks_so_that_a_refusal_keeps_its_reason(
    pki: PkiFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A listener that finds data on the connection it refuses resets it, and the alert is lost."""
    other = authority("Other CA")
    issue(other, "stranger").write(tmp_path, "stranger")
    pair = {"PROD_TLS_CERT": [str(tmp_path / "stranger.crt")], "PROD_TLS_KEY": [str(tmp_path / "stranger.key")]}
    with refusing(pki) as address:
        assert await checked(client_file(tmp_path, pki, address, **pair)) == 1
    assert "unknown ca: the listener does not believe the CA of PROD-TLS-CERT" in capsys.readouterr().out


@contextmanager
def refusing(pki: PkiFiles) -> Iterator[tuple[str, int]]:
    """Refuses one client's certificate, in TLS 1.3: by an alert, or by a reset where the client has spoken first."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki.ca))
    context.load_cert_chain(pki.server.certificate, pki.server.key)
    context.verify_mode = ssl.CERT_REQUIRED
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(10)
                while True:
                    try:
                        tls.do_handshake()
                    except ssl.SSLWantReadError:
                        connection.sendall(outgoing.read())
                        incoming.write(connection.recv(65_536))
                    except ssl.SSLError:
                        break
                spoken, _, _ = select.select([connection], [], [], 0.1)
                if spoken:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    connection.sendall(outgoing.read())

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            thread.join()


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")


@needs_openssl
@pytest.mark.parametrize(
    "how", [(), ("-legacy",), ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1")]
)
async def test_a_pkcs12_that_openssl_made(
    tmp_path: Path, pki: PkiFiles, capsys: pytest.CaptureFixture[str], how: tuple[str, ...]
) -> None:
    vault, made, word = pki.clients["vault-1"], tmp_path / "made.p12", "pass word"
    command = ["openssl", "pkcs12", "-export", "-in", str(vault.certificate), "-inkey", str(vault.key), "-certfile",
               str(pki.ca), "-out", str(made), "-passout", f"pass:{word}", *how]  # fmt: skip
    done = await trio.to_thread.run_sync(functools.partial(subprocess.run, command, capture_output=True, check=False))
    assert done.returncode == 0, done.stderr
    async with world(pki, tmp_path) as on:
        path = client_file(tmp_path, pki, on.address, PROD_TLS_KEY=[str(made)], PROD_TLS_KEY_PASS=[word])
        assert await checked(path) == 0, capsys.readouterr()
        # And openssl itself, as a client with that very file, gets through.
        host, port = on.address
        command = ["openssl", "s_client", "-quiet", "-no_ign_eof", "-connect", f"{host}:{port}", "-CAfile", str(pki.ca),
                   "-cert", str(made), "-pass", f"pass:{word}"]  # fmt: skip
        if "-legacy" in how:
            command += ["-provider", "default", "-provider", "legacy"]
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdin is not None
        assert process.stdout is not None
        async with process.stdin, process.stdout:
            await process.stdin.send_all(b"[AOECHO;AGs;]")
            received = b""
            with trio.fail_after(20):
                while b"]" not in received:
                    data = await process.stdout.receive_some()
                    assert data, received
                    received += data
        with trio.fail_after(20):
            await process.wait()
    assert received == b"[AOECHO;AGs;]"


def test_a_pki_of_ecdsa_and_rsa_do_not_go_together(
    pki: PkiFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the vendor's guide diagnoses it: both sides need the same CA tree."""
    other = make_pki(tmp_path / "rsa", clients=["vault-1"])
    config = tmp_path / "guardian.yaml"
    config.write_text(f"""\
listeners:
  - name: excrypt
    bind: 127.0.0.1:9100
    group: g
    tls: {{certificate: {other.server.certificate}, key: {other.server.key}, ca: [{other.ca}]}}
groups:
  - {{name: g, tls: {{mode: clear}}, devices: [{{name: a, address: "127.0.0.1:9", role: primary}}]}}
""")
    path = client_file(tmp_path, pki, ("127.0.0.1", 9100))
    assert execute(["fxpkcs11", "check", str(path), "--config", str(config), "--no-connect"]) == 1
    out = capsys.readouterr().out
    assert "that is a tree of RSA keys, this one of ECC keys; both sides need the same CA tree" in out
    assert "(of RSA keys, and this of ECC)" in out
