"""The applications' lives on one emulated device without a proxy: the drivers work, and see a device that does not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec

from guardian.pki import PkiFiles
from loadtest.simhsm import DEFAULT_DIRECTORY
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.faults import Fault
from loadtest.simhsm.key import Key, KeyKind, private_key
from loadtest.simhsm.keytable import Slot
from loadtest.simhsm.registry import Kind
from tests.support.applications import Application, ssh, vault, vsec_cms
from tests.support.estate import client_tls, device_tls
from tests.support.excrypt_client import Closed, ExcryptClient

Life = Callable[..., Awaitable[int]]
LIVES = pytest.mark.parametrize("life", [vault, vsec_cms, ssh], ids=["vault", "vsec-cms", "ssh"])


@asynccontextmanager
async def alone(pki: PkiFiles, life: Life) -> AsyncIterator[tuple[SimulatedDevice, Application]]:
    kind = Kind.KMS if life is ssh else Kind.HSM
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"), kind=kind, directory=DEFAULT_DIRECTORY)
    device.hsm.table.put(Slot(private_key(ec.generate_private_key(ec.SECP256R1())), "ssh-host"))
    async with trio.open_nursery() as nursery:
        await nursery.start(device.serve)
        client = await ExcryptClient.connect(device.address, client_tls(pki, "vault-1"))
        yield device, Application("app", client, device.hsm.major_key)
        client.close()
        nursery.cancel_scope.cancel()


async def nothing() -> None:
    """No fail-over."""


@LIVES
async def test_the_life_of_an_application(pki: PkiFiles, life: Life) -> None:
    async with alone(pki, life) as (device, app):
        assert await life(app, "crypto1", "safest1", nothing) == 16
        assert not device.hsm.bugs
        ran = [record for record in device.journal if record.code != "RKLG"]
        assert len(ran) > 16
        assert all(record.users == ("crypto1",) for record in ran)


@LIVES
async def test_it_needs_its_login(pki: PkiFiles, life: Life) -> None:
    async with alone(pki, life) as (_, app):
        with pytest.raises(AssertionError, match="ANN"):
            await life(app, "crypto1", "wrong", nothing)


@LIVES
async def test_it_sees_keys_that_are_gone_or_others(pki: PkiFiles, life: Life) -> None:
    async with alone(pki, life) as (device, app):

        async def emptied() -> None:
            device.hsm.restart(empty_keys=True)

        with pytest.raises(AssertionError, match="KEY SLOT EMPTY"):
            await life(app, "crypto1", "safest1", emptied)

    async with alone(pki, life) as (device, app):

        async def exchanged() -> None:
            """The table of a device that has other keys in the same places."""
            for number in device.hsm.table:
                key = device.hsm.table[number].key
                assert key is not None
                if key.kind is KeyKind.EC:
                    other = private_key(ec.generate_private_key(ec.SECP256R1()))
                else:
                    other = Key(key.kind, bytes(len(key.material)), key.usage) if key.kind is not KeyKind.RSA else key
                device.hsm.table.put(Slot(other, device.hsm.table[number].label), number)

        with pytest.raises((AssertionError, InvalidTag, InvalidSignature, ValueError)):
            await life(app, "crypto1", "safest1", exchanged)


@LIVES
async def test_it_sees_an_answer_that_is_anothers_and_a_lost_connection(pki: PkiFiles, life: Life) -> None:
    async with alone(pki, life) as (device, app):

        async def confused() -> None:
            device.fault = Fault.wrong_echo(times=1)

        with pytest.raises(AssertionError):
            await life(app, "crypto1", "safest1", confused)

    async with alone(pki, life) as (device, app):
        with pytest.raises(Closed):
            await life(app, "crypto1", "safest1", device.restart)
