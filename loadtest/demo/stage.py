"""Setting the stage: certificates, devices, and the proxy in front of them."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Final

import attrs
import trio

from .admin import Admin
from .configuration import CLIENT, DEVICES, PROXY, DemoDevice, write
from .programs import Program, Programs
from .screen import Screen

_READY: Final = 20.0  # seconds for the proxy to find its devices
_ANY_PORT: Final = "127.0.0.1:0"


@attrs.define(eq=False)
class Stage:
    """All methods raise ProgramFailed."""

    folder: Path
    programs: Programs
    screen: Screen
    slow: str | None = None  # this device takes ten times as long
    workers: int = 1
    devices: dict[str, Program] = attrs.field(factory=dict, init=False)
    addresses: dict[str, str] = attrs.field(factory=dict, init=False)  # host:port by device

    async def make_pki(self) -> None:
        devices = [argument for device in DEVICES for argument in ("--device", f"{device.name}=127.0.0.1")]
        hosts = ["--host", "127.0.0.1", "--host", "localhost"]
        await self.programs.run("pki", "pki", "pki", "--client", CLIENT, *devices, *hosts)
        self.screen.say("made a throw-away CA and certificates", "quiet")

    async def start_devices(self) -> None:
        async with trio.open_nursery() as nursery:
            for device in DEVICES:
                nursery.start_soon(self.start_device, device)
        for device in DEVICES:
            self.screen.say(f"{device.name} ({device.role}) is emulated on {self.addresses[device.name]}", "quiet")

    async def start_device(self, device: DemoDevice) -> None:
        """For the first time on any port, later on the same one.

        The proxy needs no login: its certificate's Common Name is the device's only user.
        """
        files = ["--certificate", f"pki/{device.name}.crt", "--key", f"pki/{device.name}.key", "--ca", "pki/ca.crt"]
        place = ["--name", device.name, "--bind", self.addresses.get(device.name, _ANY_PORT)]
        work = [
            "--latency",
            device.latency if device.name != self.slow else device.slow_latency,
            "--capacity",
            "16",
            "--user",
            PROXY,
        ]
        program = await self.programs.start(device.name, "simulate", *place, *files, *work, piped=True)
        self.devices[device.name] = program
        self.addresses[device.name] = str((await program.ready_line())["address"])

    async def start_proxy(self) -> tuple[Program, Admin]:
        """Wait until it serves and every group has a usable device."""
        admin = Admin("127.0.0.1", _free_port())
        write(self.folder / "guardian.yaml", self.addresses, f"{admin.host}:{admin.port}", self.workers)
        proxy = await self.programs.start("guardian", "run", "guardian.yaml")
        with trio.move_on_after(_READY):
            while proxy.running and not await admin.ready():
                await trio.sleep(0.05)
            if proxy.running:
                return proxy, admin
        raise proxy.failure("found no device in time" if proxy.running else "ended at once")

    async def listener(self, admin: Admin) -> tuple[str, int]:
        """Where clients connect."""
        bind = str((await admin.status())["listeners"][0]["bind"])
        host, _, port = bind.rpartition(":")
        self.screen.say(f"the proxy serves on {bind} with mutual TLS; its admin port is {admin.url}")
        return host, int(port)

    def client_tls(self) -> ssl.SSLContext:
        pki = self.folder / "pki"
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / f"{CLIENT}.crt", pki / f"{CLIENT}.key")
        return context


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
