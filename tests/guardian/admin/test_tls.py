"""The admin port with TLS."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config.model import Admin, AdminTls, Bind
from guardian.admin.keys import read_keys
from guardian.admin.server import AdminServer
from tests.support import tls
from tests.support.admin_port import ANY_PORT, DRAIN, QUICK, exchange, running, serving
from tests.support.operable import FakeProxy


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def over_tls(authority: trustme.CA, folder: Path, *, mutual: bool) -> AsyncIterator[Bind]:
    leaf = authority.issue_cert("127.0.0.1", "guardian.example")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / "admin.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    files = AdminTls(certificate=folder / "admin.pem", ca=(folder / "ca.pem",) if mutual else ())
    async with serving(admin=Admin(bind=ANY_PORT, tls=files), times=QUICK) as bound:
        yield bound


async def ask_tls(bound: Bind, context: ssl.SSLContext, request: bytes) -> bytes:
    stream = await trio.open_ssl_over_tcp_stream(bound.host, bound.port, ssl_context=context, https_compatible=True)
    received = b""
    with trio.fail_after(30):
        await stream.send_all(request)
        async for data in stream:
            received += data
    await trio.aclose_forcefully(stream)
    return received


LIVEZ = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


async def test_tls_shows_the_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with over_tls(authority, tmp_path, mutual=False) as bound:
        assert (await ask_tls(bound, context, LIVEZ)).startswith(b"HTTP/1.1 200")
        change = f"POST {DRAIN} HTTP/1.1\r\nHost: guardian.example\r\nConnection: close\r\n\r\n".encode()
        assert (await ask_tls(bound, context, change)).startswith(b"HTTP/1.1 200")
        assert (await ask_tls(bound, context, change.replace(b"guardian.", b"evil."))).startswith(b"HTTP/1.1 403")


async def test_mutual_tls_wants_a_certificate_of_its_ca(authority: trustme.CA, tmp_path: Path) -> None:
    async with over_tls(authority, tmp_path, mutual=True) as bound:
        for issuer, welcome in ((authority, True), (trustme.CA(), False), (None, False)):
            context = ssl.create_default_context()
            authority.configure_trust(context)
            if issuer is not None:
                issuer.issue_cert("client").configure_cert(context)
            if welcome:
                assert (await ask_tls(bound, context, LIVEZ)).startswith(b"HTTP/1.1 200")
            else:
                with suppress(trio.BrokenResourceError):  # TLS 1.3 tells a refused client late, or by a reset
                    assert await ask_tls(bound, context, LIVEZ) == b""


async def test_plain_http_and_silence_on_a_tls_port_harm_nobody(authority: trustme.CA, tmp_path: Path) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with over_tls(authority, tmp_path, mutual=False) as bound:
        await exchange(bound, LIVEZ)
        silent = await trio.open_tcp_stream(bound.host, bound.port)
        with trio.fail_after(30):
            assert await silent.receive_some() == b""  # a deadline for the handshake
        await silent.aclose()
        assert (await ask_tls(bound, context, LIVEZ)).startswith(b"HTTP/1.1 200")


async def test_a_client_certificate_that_is_for_servers_only_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    """OpenSSL would take one without extendedKeyUsage; the check is our own, after every handshake."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(issuer, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(issuer, hashes.SHA256())
    )
    file = tmp_path / "client.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.load_cert_chain(file)
    with structlog.testing.capture_logs() as logged:
        async with over_tls(authority, tmp_path, mutual=True) as bound:
            with suppress(trio.BrokenResourceError):
                assert await ask_tls(bound, context, LIVEZ) == b""
    (event,) = logged
    assert "extendedKeyUsage" in str(event["error"])


async def test_after_a_reload_who_is_still_good_stays_and_who_was_revoked_does_not(tmp_path: Path) -> None:
    root = tls.authority()
    own = tls.issue(root, "guardian", eku=[tls.SERVER], san=["127.0.0.1"])
    certificate, key = own.write(tmp_path, "admin")
    (tmp_path / "ca.crt").write_bytes(root.pem)
    (tmp_path / "ca.crl").write_bytes(tls.crl(root))
    admin = Admin(
        bind=ANY_PORT,
        tls=AdminTls(certificate=certificate, key=key, ca=(tmp_path / "ca.crt",), crl=(tmp_path / "ca.crl",)),
    )
    clients = {name: tls.issue(root, name, eku=[tls.CLIENT]) for name in ("stays", "revoked")}
    server = AdminServer(admin, read_keys(admin), FakeProxy())
    async with running(server) as bound, AsyncExitStack() as stack:
        assert isinstance(bound, Bind)

        async def ask(who: trio.SSLStream[trio.SocketStream], path: str) -> bytes:
            await who.send_all(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            received = b""
            while b"\r\n\r\n" not in received:
                received += await who.receive_some()
            head, _, body = received.partition(b"\r\n\r\n")
            if b"content-length: " in head.lower():
                length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                while len(body) < length:
                    body += await who.receive_some()
            return head.split()[1]

        async def connect(name: str) -> trio.SSLStream[trio.SocketStream]:
            stream = await trio.open_ssl_over_tcp_stream(
                bound.host, bound.port, ssl_context=tls.client_context(tmp_path, root, clients[name])
            )
            stack.push_async_callback(trio.aclose_forcefully, stream)
            return stream

        with trio.fail_after(20):
            live = {name: await connect(name) for name in clients}
            following = {name: await connect(name) for name in clients}
            assert [await ask(each, "/metrics") for each in live.values()] == [b"200", b"200"]
            assert [await ask(each, "/tail") for each in following.values()] == [b"200", b"200"]
            server.adopt(admin, read_keys(admin))
            assert [await ask(each, "/metrics") for each in live.values()] == [b"200", b"200"]
            (tmp_path / "ca.crl").write_bytes(tls.crl(root, [clients["revoked"]]))
            server.adopt(admin, read_keys(admin))
            assert await ask(live["stays"], "/metrics") == b"200"
            assert await ask(live["revoked"], "/metrics") == b"403"
            with suppress(trio.BrokenResourceError):
                while await following["revoked"].receive_some():
                    pass  # until its end
        assert len(server._room.lasting) == 1
