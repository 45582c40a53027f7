"""Nothing blocked and nothing malformed ever reaches a device, however it is cut and whatever surrounds it."""

from __future__ import annotations

import contextlib
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from tests.support.estate import QUICK, Estate, device_tls, estate
from tests.support.excrypt_client import Closed, ExcryptClient
from tests.support.vectors import Refused, refused

FUNCTIONS = """
    functions:
      allow: ["category:pkcs11_communication", "category:payment_pin", "category:miscellaneous", GPKD, ZZZZ]
      block: [TIME, GPKD, "category:payment_pin"]
"""
NESTED = """
    type: kms
    functions: {allow: [ECHO, RKRL/GETK, RKRL/LIST], block: [RKRL/LIST]}
    nested: {RKRL: {tag: RN}}
"""
CLEAR = """
  - {name: clear, bind: "127.0.0.1:0", group: payments, tls: {mode: clear}}
"""
TEXTS = {b"901": b"FUNCTION BLOCKED", b"906": b"MALFORMED MESSAGE"}
FIRST, AFTER = b"[AOECHO;AGfirst;]", b"[AOECHO;AGafter;]"


@asynccontextmanager
async def guarded(pki: PkiFiles, folder: Path) -> AsyncIterator[Estate]:
    devices = {name: SimulatedDevice(name, tls=device_tls(pki, name)) for name in ("hsm1", "hsm2")}
    async with estate(pki, folder, devices, group=QUICK + FUNCTIONS, listener=CLEAR) as world:
        yield world


async def over_clear(world: Estate) -> ExcryptClient:
    host, _, port = world.proxy.intake.addresses["clear"].rpartition(":")
    client = await ExcryptClient.connect((host, int(port)), None)
    world.clients.append(client)
    return client


def expected(vector: Refused) -> bytes:
    """The proxy's own answer; its echo text is checked elsewhere."""
    return b"[AOERRO;AM" + vector.number + b";ANAO;BB" + TEXTS[vector.number] + b";"


async def check(client: ExcryptClient, vector: Refused, *pieces: bytes) -> None:
    """The vector stands between two echoes, of which the second is never looked at if the vector is malformed."""
    with trio.fail_after(30):
        for piece in pieces:
            await client.send(piece)
        assert await client.receive() == FIRST
        answer = await client.receive()
        assert answer.startswith(expected(vector)), (vector, answer)
        if vector.malformed:
            assert await client.ended() == b"", vector
        else:
            assert await client.receive() == AFTER, vector
    client.close()


def only_echoes_were_seen(world: Estate) -> None:
    assert set(world.seen()) <= {FIRST, AFTER}, set(world.seen()) - {FIRST, AFTER}


async def test_every_vector_over_tls(pki: PkiFiles, tmp_path: Path) -> None:
    vectors = refused()
    assert sum(vector.malformed for vector in vectors) >= 50
    async with guarded(pki, tmp_path) as world:
        for vector in vectors:
            await check(await world.client(), vector, FIRST + vector.message + AFTER)
        await world.until_calm()
        only_echoes_were_seen(world)
        outcomes = {name: count for command in world.group.commands for name, count in command.outcomes.items()}
        assert outcomes["malformed"] == sum(vector.malformed for vector in vectors)


async def test_every_nested_vector_in_a_kms_group(pki: PkiFiles, tmp_path: Path) -> None:
    vectors = refused("refused_nested")
    assert sum(not vector.malformed for vector in vectors) >= 30
    devices = {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}
    async with estate(pki, tmp_path, devices, group=QUICK + NESTED) as world:
        for vector in vectors:
            await check(await world.client(), vector, FIRST + vector.message + AFTER)
        await world.until_calm()
        only_echoes_were_seen(world)
        # What is allowed does get there: the vectors were not refused for another reason.
        client = await world.client()
        await client.request(b"[AORKRL;RNGETK;AGx;]")
        await client.request(b"[AORKRL;AAx;RNGETK]")
        assert world.reached(b"[AORKRL;RNGETK;AGx;]") == world.reached(b"[AORKRL;AAx;RNGETK]") == 1


async def test_every_vector_cut_at_every_byte(pki: PkiFiles, tmp_path: Path) -> None:
    async with guarded(pki, tmp_path) as world:
        for vector in refused():
            for cut in range(1, len(vector.message)):
                client = await over_clear(world)
                await check(client, vector, FIRST + vector.message[:cut], vector.message[cut:] + AFTER)
        await world.until_calm()
        only_echoes_were_seen(world)


_value = st.text(alphabet=[chr(byte) for byte in range(0x20, 0x7F) if chr(byte) not in ";[]"], max_size=12)
_tag = st.text(alphabet=string.ascii_uppercase + string.digits, min_size=2, max_size=2)
_field = st.builds(lambda tag, value: f"{tag}{value}", _tag.filter(lambda tag: tag not in ("AO", "AG")), _value)
_code = st.one_of(
    st.sampled_from(["ECHO", "RAND", "TIME", "GPKD", "VPIN", "RKLG"]),
    st.text(alphabet=string.ascii_uppercase + string.digits, min_size=4, max_size=4),
)
_good = st.builds(
    lambda code, fields: "[" + ";".join([f"AO{code}", *fields]) + ";]", _code, st.lists(_field, max_size=3)
)
_junk = st.text(alphabet=[chr(byte) for byte in range(256)], min_size=1, max_size=4)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A message of the grammar with bytes put in, left out or changed; often no message any more, sometimes one."""
    text = draw(_good)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.one_of(_junk, st.just(""), st.sampled_from(["AO", ";AOGPKD", "[", "]"])))
            + text[at + draw(st.integers(0, 2)) :]
        )
    return text.encode("latin-1")


async def test_no_spoiled_message_reaches_a_device(pki: PkiFiles, tmp_path: Path) -> None:
    """What reaches a device is a message by a grammar written anew here, and of a function that is allowed."""
    allowed = (b"ECHO", b"PRMD", b"RAND", b"HASH", b"GPKM", b"GPKS", b"GPKR", b"STAT", b"ZZZZ")
    messages: list[bytes] = []

    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(spoiled())
    def collect(message: bytes) -> None:
        messages.append(message)

    collect()
    async with guarded(pki, tmp_path) as world:
        for message in messages:
            client = await over_clear(world)
            await client.send(message + AFTER)
            # An unfinished message swallows what follows, and then nothing comes.
            with trio.move_on_after(0.05), contextlib.suppress(Closed):
                while await client.receive() != AFTER:
                    pass
            client.close()
        await world.until_calm()
        for request in world.seen():
            fields = request[1:-1].split(b";")
            assert request[:1] == b"["
            assert request[-1:] == b"]"
            assert request.count(b"[") == request.count(b"]") == 1
            assert all(0x20 <= byte < 0x7F for byte in request)
            assert fields[0][:2] == b"AO"
            assert fields[0][2:] in allowed, request
            assert not any(field.upper().startswith(b"AO") for field in fields[1:])
