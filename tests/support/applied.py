"""An application before the proxy's front door, and devices behind it that can be taken away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
from cryptography.hazmat.primitives.asymmetric import ec

from guardian.pki import PkiFiles
from loadtest.simhsm import DEFAULT_DIRECTORY
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.key import private_key
from loadtest.simhsm.keytable import Slot
from loadtest.simhsm.registry import Kind

from .applications import Application, ssh
from .estate import QUICK, Estate, device_tls, estate

NAMES = ("hsm1", "hsm2", "hsm3")

Life = Callable[..., Awaitable[int]]


@attrs.frozen
class Stage:
    world: Estate
    app: Application

    async def live(self, life: Life, halfway: Callable[[], Awaitable[None]]) -> int:
        return await life(self.app, "crypto1", "safest1", halfway)

    def served(self) -> set[str]:
        """The devices on which something ran as the application's login."""
        return {
            name
            for name, device in self.world.devices.items()
            if any(record.users == ("crypto1",) for record in device.journal)
        }

    def strangers(self) -> list[tuple[str, ...]]:
        """As whom else anything ran."""
        return [
            record.users
            for device in self.world.devices.values()
            for record in device.journal
            if record.users not in (None, ("crypto1",))
        ]


@asynccontextmanager
async def stage(
    pki: PkiFiles, folder: Path, life: Life, *, group: str = "", catalogue: str = ""
) -> AsyncIterator[Stage]:
    """Three devices of the kind that the application needs; ``group`` is added to the group's settings."""
    kind = Kind.KMS if life is ssh else Kind.HSM
    devices = {
        name: SimulatedDevice(name, tls=device_tls(pki, name), kind=kind, directory=DEFAULT_DIRECTORY) for name in NAMES
    }
    if life is ssh:
        key = private_key(ec.generate_private_key(ec.SECP256R1()))  # KMES replicate their keys by themselves
        for device in devices.values():
            device.hsm.table.put(Slot(key, "ssh-host"))
    elsewhere = ""
    if catalogue:
        (folder / "commands.yaml").write_text(catalogue)
        elsewhere = "catalogue: commands.yaml\n"
    async with estate(pki, folder, devices, group=_common(group) + group, elsewhere=elsewhere) as world:
        client = await world.client()
        yield Stage(world, Application("app", client, devices["hsm1"].hsm.major_key))
        assert not [bug for device in devices.values() for bug in device.hsm.bugs]


def _common(group: str) -> str:
    """What groups of tests have in common, less what this one says itself."""
    lines = QUICK.splitlines(keepends=True)
    return "".join(line for line in lines if not line.strip() or line.split(":")[0].strip() + ":" not in group)
