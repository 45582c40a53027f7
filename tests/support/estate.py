"""The real proxy before emulated devices, in one process: real sockets, mutual TLS, faults at will."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

import attrs
import structlog
import trio

from balancer.snapshot import DeviceSnapshot, GroupSnapshot, ProxyState
from config.catalogue import load_catalogue
from config.loader import load
from guardian.pki import PkiFiles
from guardian.proxy import Proxy
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.tls import server_context

from .excrypt_client import ExcryptClient

# Everything that takes time is quick here, so that a test waits for facts and not for patience.
QUICK = """
    ping: {request: "[AOECHO;AGping;]", interval: 800ms, timeout: 800ms, fall: 2, rise: 1}
    ejection: {failures: 5, base: 500ms, max: 2s}
    slow_start: 500ms
    request_timeout: 5s
    queue: {size: 1024, timeout: 2s}
    retries: {attempts: 2, attempt_timeout: 500ms, budget: 0.2}
    identity: {probes: []}
"""


@attrs.define
class Estate:
    proxy: Proxy
    devices: dict[str, SimulatedDevice]
    pki: PkiFiles
    config: Path
    clients: list[ExcryptClient] = attrs.field(factory=list)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.proxy.intake.addresses["excrypt"].rpartition(":")
        return host, int(port)

    def tls(self, name: str = "vault-1") -> ssl.SSLContext:
        """What a client of that name shows."""
        return client_tls(self.pki, name)

    async def client(self, name: str = "vault-1") -> ExcryptClient:
        client = await ExcryptClient.connect(self.address, self.tls(name))
        self.clients.append(client)
        return client

    @property
    def group(self) -> GroupSnapshot:
        return self.proxy.snapshot().groups[0]

    def device(self, name: str) -> DeviceSnapshot:
        return next(device for device in self.group.devices if device.name == name)

    async def until(self, *in_service: str, seconds: float = 30.0) -> None:
        """Wait until exactly these devices are in service."""
        with trio.fail_after(seconds):
            while {device.name for device in self.group.devices if device.in_service} != set(in_service):
                await trio.sleep(0.005)

    async def until_nobody_is_behind(self, seconds: float = 30.0) -> None:
        """That a device is equal again is written down at the next look, so soon after it serves."""
        with trio.fail_after(seconds):
            while self.group.writes.behind:
                await trio.sleep(0.005)

    async def until_calm(self, seconds: float = 30.0) -> None:
        """Wait until nothing is outstanding, queued or owed."""
        with trio.fail_after(seconds):
            while self.proxy.owed or self.group.queued or any(device.outstanding for device in self.group.devices):
                await trio.sleep(0.005)

    def reached(self, request: bytes) -> int:
        """How often exactly these bytes reached any device."""
        return sum(device.journal.count(request) for device in self.devices.values())

    def seen(self) -> list[bytes]:
        """Every request that reached any device, pings left out."""
        return [
            record.request
            for device in self.devices.values()
            for record in device.journal
            if b"AGping" not in record.request
        ]


def client_tls(pki: PkiFiles, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.load_cert_chain(pki.clients[name].certificate, pki.clients[name].key)
    return context


def device_tls(pki: PkiFiles, name: str) -> ssl.SSLContext:
    return server_context(pki.devices[name].certificate, pki.devices[name].key, ca=[pki.ca])


def configuration(
    pki: PkiFiles, devices: Mapping[str, str], *, group: str = QUICK, listener: str = "", tls: str = ""
) -> str:
    """``devices``: name -> the rest of its entry after the name. The other texts are YAML, put where they belong."""
    server, ours = pki.server, pki.proxy_client
    lines = "\n".join(f"      - {{name: {name}, {rest}}}" for name, rest in devices.items())
    return f"""\
listeners:
  - name: excrypt
    bind: 127.0.0.1:0
    group: payments
    tls: {{mode: mutual, certificate: {server.certificate}, key: {server.key}, ca: [{pki.ca}]{tls}}}
{listener}
groups:
  - name: payments
    tls: {{mode: mutual, certificate: {ours.certificate}, key: {ours.key}, ca: [{pki.ca}]}}
{group}
    devices:
{lines}
admin: {{bind: "127.0.0.1:0"}}
"""


def time_never_twice(folder: Path) -> str:
    """A line of the configuration by which TIME acts, and is balanced over all devices: no write of a key table."""
    path = folder / "catalogue.yaml"
    path.write_text("commands: [{name: TIME, effect: counter}]\n")
    return f"catalogue: {path}"


@asynccontextmanager
async def estate(
    pki: PkiFiles,
    folder: Path,
    devices: Mapping[str, SimulatedDevice],
    *,
    roles: Mapping[str, str] | None = None,
    group: str = QUICK,
    listener: str = "",
    elsewhere: str = "",
    wait: bool = True,
    faulty: bool = False,
) -> AsyncIterator[Estate]:
    """Start the devices and the proxy before them; everything ends with the block.

    ``roles``: name -> the device's entry in the configuration after name and address; by default the first is the
    primary and all others production. ``elsewhere``: YAML for the end of the file. Waits until all but backups are
    in service. In the end the proxy must have had no fault of its own, unless it is to be ``faulty``, and no connection
    may be left.
    """
    roles = roles or {}
    with nullcontext() if faulty else no_faults():
        async with trio.open_nursery() as nursery:
            for device in devices.values():
                await nursery.start(device.serve)
            entries = {}
            for number, (name, device) in enumerate(devices.items()):
                role = roles.get(name, f"role: {'production' if number else 'primary'}")
                entries[name] = f'address: "127.0.0.1:{device.port}", {role}'
            path = folder / "guardian.yaml"
            path.write_text(configuration(pki, entries, group=group, listener=listener) + elsewhere)
            proxy = Proxy()
            started = Estate(proxy, dict(devices), pki, path)
            await nursery.start(proxy.run)
            apply(proxy, path)
            proxy.state = ProxyState.SERVING
            if wait:
                await started.until(*(name for name in devices if "backup" not in entries[name]))
            try:
                yield started
            finally:
                for client in started.clients:
                    client.close()
            nursery.cancel_scope.cancel()
        assert not proxy.reactor.links, "a connection was left open"


@contextmanager
def no_faults() -> Iterator[None]:
    """What a barrier swallows is seen all the same."""
    faults: list[Mapping[str, object]] = []

    def note(_logger: object, _method: str, facts: MutableMapping[str, object]) -> MutableMapping[str, object]:
        if "fault of the proxy" in str(facts["event"]):
            faults.append(dict(facts))
        return facts

    processors = structlog.get_config()["processors"]  # the list that all loggers share
    processors.insert(0, note)
    try:
        yield
    finally:
        processors.remove(note)
    assert not faults, faults


def apply(proxy: Proxy, path: Path) -> None:
    """As a start or a reload does."""
    loaded = load(path, read_files=True)
    assert loaded.config is not None, loaded.problems
    proxy.apply(loaded.config, load_catalogue(loaded.config.catalogue)[0])
