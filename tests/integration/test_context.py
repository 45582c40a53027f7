"""A device that repeats answers, and clients that send no AG: what `verify` cannot see, and `inject` does."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import attrs
import pytest
import trio

from guardian.pki import PkiFiles
from loadtest.simhsm import DEFAULT_DIRECTORY
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.faults import FaultMix
from tests.support.estate import Estate, device_tls, estate
from tests.support.excrypt_client import Closed, ExcryptClient

CLIENTS = 16
# A device this bad would be ejected most of the time; here it is to go on being bad.
GROUP = """
    ping: {request: "[AOECHO;AGping;]", interval: 800ms, timeout: 800ms, fall: 3, rise: 1}
    ejection: {failures: 1000, base: 100ms, max: 200ms}
    slow_start: 0s
    retries: {attempts: 4, attempt_timeout: 1s, budget: 0.5}
"""


@attrs.define
class Seen:
    wanted: int
    requests: int = 0
    right: int = 0
    refused: int = 0
    foreign: list[tuple[bytes, bytes]] = attrs.field(factory=list)


async def hashes(address: tuple[str, int], tls: ssl.SSLContext, number: int, seen: Seen, context: bytes) -> None:
    """Asks for hashes: the right answer can be told by its content."""
    client = await ExcryptClient.connect(address, tls)
    try:
        while seen.requests < seen.wanted:
            seen.requests += 1
            data = b"%d.%d" % (number, seen.requests)
            with trio.fail_after(15):
                answer = await client.request(b"[AOGHSH;RG4;%bBO%b;]" % (context, data.hex().upper().encode()))
            if answer == b"[AOGHSH;CF%b;%b]" % (hashlib.sha256(data).hexdigest().upper().encode(), context):
                seen.right += 1
            elif answer.startswith(b"[AOERRO;AM90"):
                seen.refused += 1
            else:
                seen.foreign.append((data, answer))
    except Closed:
        seen.refused += 1
    finally:
        client.close()


async def run(world: Estate, seen: Seen, context: bytes = b"") -> None:
    async with trio.open_nursery() as nursery:
        for number in range(CLIENTS):
            nursery.start_soon(hashes, world.address, world.tls(), number, seen, context)
    for device in world.devices.values():
        device.fault = None
    await world.until_calm()


def repeating(pki: PkiFiles) -> dict[str, SimulatedDevice]:
    return {
        name: SimulatedDevice(
            name,
            tls=device_tls(pki, name),
            directory=DEFAULT_DIRECTORY.open_to_all(),
            fault=FaultMix(seed=seed, repeat=0.02, late=0.02, delay=0.01),
        )
        for seed, name in enumerate(("hsm1", "hsm2"))
    }


async def test_with_inject_a_repeated_answer_reaches_nobody(pki: PkiFiles, tmp_path: Path) -> None:
    seen = Seen(wanted=3_000)
    async with estate(pki, tmp_path, repeating(pki), group=GROUP + "    context: inject\n") as world:
        await run(world, seen)
        stamped = [record for record in world.seen() if record.startswith(b"[AOGHSH;AG")]
        assert len(stamped) >= seen.right
        assert sum(device.errors for device in world.group.devices) > 10, "no answer was repeated, nothing was shown"
    assert not seen.foreign, seen.foreign[:3]
    assert seen.right > 0.95 * seen.requests


async def test_without_it_the_same_test_finds_foreign_answers(pki: PkiFiles, tmp_path: Path) -> None:
    seen = Seen(wanted=3_000)
    async with estate(pki, tmp_path, repeating(pki), group=GROUP) as world:
        await run(world, seen)
    assert seen.foreign, "the test does not see what it is for"


@pytest.mark.parametrize("context", [b"", b"AGmine;", b"AG;"])
async def test_clients_see_the_bytes_that_the_device_would_have_answered(
    pki: PkiFiles, tmp_path: Path, context: bytes
) -> None:
    devices = repeating(pki)
    for device in devices.values():
        device.fault = None
    seen = Seen(wanted=200)
    async with estate(pki, tmp_path, devices, group=GROUP + "    context: inject\n") as world:
        await run(world, seen, context)
    assert seen.right == seen.requests
