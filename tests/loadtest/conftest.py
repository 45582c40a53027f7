"""Fixtures for the tests of the emulated device and of the comparison."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
import trustme

from loadtest.compare.pki import Pki, make_pki
from loadtest.native.programs import Programs
from loadtest.simhsm import DEFAULT_DIRECTORY, SimulatedDevice
from tests.support.emulated import Caller, Connect, Contexts, Inside, Start, new_inside
from tests.support.native_load import build_or_skip


@pytest.fixture
def inside() -> Inside:
    return new_inside()


@pytest.fixture
def make_inside() -> Callable[..., Inside]:
    return new_inside


@pytest.fixture(scope="session")
def contexts() -> Contexts:
    ca = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(server)
    ca.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED

    def client(name: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        ca.configure_trust(context)
        ca.issue_cert("client.example", common_name=name).configure_cert(context)
        return context

    return Contexts(server, client)


@pytest.fixture
async def connect(contexts: Contexts) -> AsyncIterator[Connect]:
    """Connect to a device; with `name`, over mutual TLS with a certificate of that Common Name."""
    streams: list[trio.abc.AsyncResource] = []

    async def connect_to(device: SimulatedDevice, name: str | None = None) -> Caller:
        tcp = await trio.open_tcp_stream(*device.address)
        streams.append(tcp)
        if name is None:
            return Caller(tcp)
        tls = trio.SSLStream(tcp, contexts.client(name), server_hostname=device.address[0])
        await tls.do_handshake()
        return Caller(tls)

    yield connect_to
    for stream in streams:
        await trio.aclose_forcefully(stream)


@pytest.fixture
async def start(nursery: trio.Nursery) -> Start:
    """Start a device without TLS that permits everything, unless told otherwise."""

    async def started(**settings: Any) -> SimulatedDevice:
        settings.setdefault("directory", DEFAULT_DIRECTORY.open_to_all())
        device = SimulatedDevice(**settings)
        await nursery.start(device.serve)
        return device

    return started


@pytest.fixture(scope="session")
def native_programs() -> Programs:
    return build_or_skip()


@pytest.fixture(scope="session")
def compare_pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki") / "pki")
