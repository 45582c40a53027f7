"""The admin port with TLS."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trustme

from config.model import Admin, AdminTls, Bind
from tests.support.admin_port import ANY_PORT, DRAIN, QUICK, exchange, serving


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def over_tls(authority: trustme.CA, folder: Path, *, mutual: bool) -> AsyncIterator[Bind]:
    leaf = authority.issue_cert("127.0.0.1", "guardian.example")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / "admin.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls = AdminTls(certificate=folder / "admin.pem", ca=(folder / "ca.pem",) if mutual else ())
    async with serving(admin=Admin(bind=ANY_PORT, tls=tls), times=QUICK) as bound:
        yield bound


async def ask_tls(bound: Bind, context: ssl.SSLContext, request: bytes) -> bytes:
    stream = await trio.open_ssl_over_tcp_stream(bound.host, bound.port, ssl_context=context, https_compatible=True)
    received = b""
    with trio.fail_after(5):
        await stream.send_all(request)
        async for data in stream:
            received += data
    await trio.aclose_forcefully(stream)
    return received


LIVEZ = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


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
        with trio.fail_after(5):
            assert await silent.receive_some() == b""  # a deadline for the handshake
        await silent.aclose()
        assert (await ask_tls(bound, context, LIVEZ)).startswith(b"HTTP/1.1 200")
