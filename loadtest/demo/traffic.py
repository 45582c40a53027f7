"""Real work of several kinds, every result checked on this side."""

from __future__ import annotations

import hmac
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Final

import attrs
import trio
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from .client import Client, Unanswered
from .tally import Tally

_PAUSE: Final = 0.012  # seconds between a client's requests, on average: a steady load that small machines bear


@attrs.frozen
class Keys:
    """Made once on some device; cryptograms, so that every device of the group can use them."""

    shared: str  # an AES key
    material: bytes  # and what it is, as both sides agreed on it
    signing: str
    public: rsa.RSAPublicKey


async def make_keys(client: Client) -> Keys:
    """Raises Unanswered."""
    pair = await client.ask("GECC", write=True, RA="2")
    ours, theirs = ec.generate_private_key(ec.SECP256R1()), load_der_public_key(bytes.fromhex(pair["RD"]))
    public = ours.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    shared = await client.ask("SDDH", RC=pair["RC"], RD=_hex(public))
    assert isinstance(theirs, ec.EllipticCurvePublicKey)
    material = X963KDF(hashes.SHA256(), 32, b"").derive(ours.exchange(ec.ECDH(), theirs))
    signing = await client.ask("GRSA", write=True, RB="2048", RA="10001")
    verifier = load_der_public_key(bytes.fromhex(signing["RD"]))
    assert isinstance(verifier, rsa.RSAPublicKey)
    return Keys(shared["BG"], material, signing["RC"], verifier)


async def echo(client: Client, keys: Keys) -> None:
    await client.ask("ECHO")


async def rand(client: Client, keys: Keys) -> None:
    answer = await client.ask("RAND", BL="32")
    client.verify(len(answer.get("BO", "")) == 64, "RAND")


async def mac(client: Client, keys: Keys) -> None:
    data = os.urandom(48)
    answer = await client.ask("HMAC", RG="4", AR=keys.shared, BO=_hex(data), BN="0")
    client.verify(answer.get("CF") == _hex(hmac.digest(keys.material, data, "sha256")), "HMAC")


async def encryption(client: Client, keys: Keys) -> None:
    """Encrypt and decrypt, most likely on two devices."""
    plain, vector = os.urandom(100), os.urandom(16)
    encrypted = await client.ask("GPED", OP="E", BG=keys.shared, IV=_hex(vector), BO=_hex(plain))
    padder = block_padding.PKCS7(128).padder()
    padded = padder.update(plain) + padder.finalize()
    expected = Cipher(AES(keys.material), modes.CBC(vector)).encryptor().update(padded)
    client.verify(encrypted.get("BO") == _hex(expected), "GPED")
    decrypted = await client.ask("GPED", OP="D", BG=keys.shared, IV=_hex(vector), BO=encrypted["BO"])
    client.verify(decrypted.get("BO") == _hex(plain), "GPED")


async def signature(client: Client, keys: Keys) -> None:
    data = os.urandom(64)
    answer = await client.ask("RSAS", RC=keys.signing, RF=_hex(data), RG="4", BN="0", KY="1", ZA="1")
    try:
        keys.public.verify(bytes.fromhex(answer["RH"]), data, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, KeyError, ValueError):
        client.verify(False, "RSAS")


async def new_key(client: Client, keys: Keys) -> None:
    """A write: make a key, then let any device encrypt zeros with it, which must begin with its check value."""
    made = await client.ask("GPGS", write=True, FS="6", CT="6")
    zeros = await client.ask("GPED", OP="E", BG=made["BG"], BO="00" * 16)
    client.verify(zeros["BO"].startswith(made["AE"]), "GPGS", write=True)


_Work = Callable[[Client, Keys], Awaitable[None]]
WORK: Final[Sequence[tuple[_Work, int]]] = (
    (echo, 30), (rand, 15), (mac, 20), (encryption, 15), (signature, 12), (new_key, 8),
)  # fmt: skip


@attrs.define(eq=False)
class Traffic:
    """Clients that work until told to stop; each finishes what it has begun."""

    address: tuple[str, int]
    tls: ssl.SSLContext
    tally: Tally = attrs.field(factory=Tally)
    _stopping: bool = attrs.field(default=False, init=False)

    async def run(self, clients: int, keys: Keys) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(1, clients + 1):
                nursery.start_soon(self._work, Client(number, self.address, self.tls, self.tally), keys)

    def stop(self) -> None:
        self._stopping = True

    async def _work(self, client: Client, keys: Keys) -> None:
        random = Random(client.number)
        kinds, weights = zip(*WORK, strict=True)
        try:
            while not self._stopping:
                (work,) = random.choices(kinds, weights)
                try:
                    await work(client, keys)
                except Unanswered:
                    await trio.sleep(_PAUSE)
                await trio.sleep(random.expovariate(1 / _PAUSE))
        finally:
            await client.close()  # noqa: ASYNC102 - it shields itself


def _hex(data: bytes) -> str:
    return data.hex().upper()
