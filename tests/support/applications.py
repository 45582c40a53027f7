"""The lives of three applications on one connection, as their vendors' guides describe them.

Each logs in first, uses only functions that its guide lists, checks every answer with its own cryptography, and calls
`halfway` once, in the quiet between two requests: there a test takes a device away. After it the same connection must
go on, with the same keys.

A request that was refused before any device saw it (902, 904) is sent again for a while, as an application would;
every other error is a failure of the life.
"""

from __future__ import annotations

import datetime
import hmac
import os
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final, Protocol

import attrs
import trio
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from loadtest.simhsm.functions.key_reading import fingerprint
from loadtest.simhsm.key import Key, KeyKind, Usage
from loadtest.simhsm.majorkey import MajorKey
from tests.support.emulated import Answer, read, write

NOTHING_SENT: Final = frozenset({"902", "904"})
PATIENCE: Final = 10.0  # seconds that a request may be refused for
ROUNDS: Final = 8  # of the same requests, so that every device of a group has its turn

Halfway = Callable[[], Awaitable[None]]


class Connection(Protocol):
    async def request(self, message: bytes) -> bytes:
        """Send a message and give the next one that comes."""


@attrs.define(eq=False)
class Application:
    """One connection and what it has asked. ``major_key`` is the devices' own, with which a test looks into keys."""

    name: str
    connection: Connection
    major_key: MajorKey
    _numbers: count[int] = attrs.field(factory=count, init=False)

    async def call(self, code: str, **fields: object) -> Answer:
        """The answer of that function, which must have come for this very request; an error answer is returned."""
        with trio.fail_after(2 * PATIENCE):
            began = trio.current_time()
            while True:
                echo = f"{self.name}-{next(self._numbers)}"
                answer = read(await self.connection.request(write(code, {**fields, "AG": echo})))
                assert answer.fields.get("AG") == echo, (code, answer.raw)
                assert answer.code in (code, "ERRO"), (code, answer.raw)
                if answer.code != "ERRO" or answer["AM"] not in NOTHING_SENT:
                    return answer
                assert trio.current_time() - began < PATIENCE, f"refused for too long: {answer.raw!r}"
                await trio.sleep(0.05)

    async def do(self, code: str, **fields: object) -> Answer:
        """As `call`, and an error answer ends the life."""
        answer = await self.call(code, **fields)
        assert answer.code == code, (code, answer.raw)
        return answer

    async def log_in(self, user: str, password: str) -> None:
        answer = read(await self.connection.request(write("RKLG", {"DA": user, "CH": password})))
        assert (answer.code, answer.fields.get("AN")) == ("RKLG", "Y"), answer.raw

    def material(self, cryptogram: str) -> bytes:
        return self.major_key.unwrap(cryptogram).material


async def vault(app: Application, user: str, password: str, halfway: Halfway, slots: tuple[int, int] = (10, 11)) -> int:
    """HashiCorp Vault: two keys with labels, encrypt and decrypt, HMAC, entropy. Gives the number of rounds."""
    await app.log_in(user, password)
    seal = await _labelled(app, slots[0], "vault-seal", CT=6, LU=f"{Usage.ENCRYPT | Usage.DECRYPT:X}")
    signer = await _labelled(app, slots[1], "vault-hmac", CT=7, LU=f"{Usage.MAC:X}")
    seen: set[bytes] = set()
    first = await _sealed(app, seal, slots[0], b"root key")
    for _ in range(ROUNDS):
        await _vault_round(app, seal, signer, slots, seen)
    await halfway()
    for _ in range(ROUNDS):
        await _vault_round(app, seal, signer, slots, seen)
    assert await _opened(app, slots[0], first) == b"root key"
    for slot, label in zip(slots, ("vault-seal", "vault-hmac"), strict=True):
        assert (await app.do("GPKR", BD=slot))["LA"] == label
    return 2 * ROUNDS


async def _labelled(app: Application, slot: int, label: str, **fields: object) -> bytes:
    """Have a key made, put it under its label, and give its material."""
    made = await app.do("GPGS", **fields)
    put = await app.do("GPKA", BG=made["BG"], BD=slot, LA=label)
    assert (put["BD"], put["AE"]) == (str(slot), made["AE"]), put.raw
    return app.material(made["BG"])


async def _vault_round(app: Application, seal: bytes, signer: bytes, slots: tuple[int, int], seen: set[bytes]) -> None:
    plain = os.urandom(48)
    sealed = await _sealed(app, seal, slots[0], plain)
    assert await _opened(app, slots[0], sealed) == plain
    data = os.urandom(40)
    code = (await app.do("HMAC", RG=4, AR=f"BD{slots[1]}", BO=data, BN=0)).octets("CF")
    assert code == hmac.digest(signer, data, "sha256")
    entropy = (await app.do("RAND", BL=64)).octets("BO")
    assert len(entropy) == 64
    assert entropy not in seen, "the same entropy twice"
    seen.add(entropy)


async def _sealed(app: Application, key: bytes, slot: int, plain: bytes) -> tuple[bytes, bytes]:
    """Nonce and ciphertext, which must be what the key makes of them."""
    nonce = os.urandom(12)
    cipher = (await app.do("GPED", OP="E", BG=f"BD{slot}", CM=2, IV=nonce, BO=plain)).octets("BO")
    assert AESGCM(key).decrypt(nonce, cipher, None) == plain
    return nonce, cipher


async def _opened(app: Application, slot: int, sealed: tuple[bytes, bytes]) -> bytes:
    nonce, cipher = sealed
    return (await app.do("GPED", OP="D", BG=f"BD{slot}", CM=2, IV=nonce, BO=cipher)).octets("BO")


async def vsec_cms(
    app: Application, user: str, password: str, halfway: Halfway, slots: tuple[int, int] = (20, 21)
) -> int:
    """vSEC:CMS: an RSA master key made and loaded, a symmetric one brought along, used and deleted; the clock."""
    await app.log_in(user, password)
    before = await _clock(app)
    pair = await app.do("GRSA", RB=2048)
    loaded = await app.do("LRSA", RC=pair["RC"], BD=slots[0], LA="cms-master-rsa")
    assert pair["SD"] == fingerprint(pair.octets("RD"))
    assert (loaded["BD"], loaded["SD"]) == (str(slots[0]), pair["SD"]), loaded.raw
    transport, master = os.urandom(32), os.urandom(16)
    kek = app.major_key.wrap(Key(KeyKind.AES, transport))  # from a key ceremony
    wrapped = aes_key_wrap_with_padding(transport, master)
    taken = await app.do("GPKU", AK=kek, BK=wrapped, CT=4, BD=slots[1], LA="cms-master")
    assert app.material(taken["BG"]) == master
    assert taken["AE"] == Key(KeyKind.AES, master).check_value()
    for _ in range(ROUNDS):
        await _encrypted(app, master, slots[1])
    await halfway()
    for _ in range(ROUNDS):
        await _encrypted(app, master, slots[1])
    assert await _clock(app) >= before
    for slot in slots:
        assert (await app.do("GPKD", BD=slot))["BD"] == str(slot)
    for _ in range(ROUNDS):
        gone = await app.call("GPSE", BG=f"BD{slots[1]}", CM=1, IV=bytes(16), BO=b"x")
        assert gone.fields.get("BB") == "KEY SLOT EMPTY", gone.raw
    return 2 * ROUNDS


async def _encrypted(app: Application, key: bytes, slot: int) -> None:
    vector, plain = os.urandom(16), os.urandom(21)
    cipher = (await app.do("GPSE", BG=f"BD{slot}", CM=1, IV=vector, BO=plain)).octets("BO")
    decryptor = Cipher(AES(key), modes.CBC(vector)).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    padded = decryptor.update(cipher) + decryptor.finalize()
    assert unpadder.update(padded) + unpadder.finalize() == plain


async def _clock(app: Application) -> datetime.datetime:
    told = datetime.datetime.strptime((await app.do("TIME"))["TM"], "%Y%m%d%H%M%S").replace(tzinfo=datetime.UTC)
    assert abs(told - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(seconds=60)
    return told


async def ssh(app: Application, user: str, password: str, halfway: Halfway, label: str = "ssh-host") -> int:
    """OpenSSH with its key on a KMES: `ssh -I` reads the public key and asks for signatures, nothing else.

    The form of the nested commands is the emulated device's own. The key must be there under its label.
    """
    await app.log_in(user, password)
    public = await _nested(app, "PUBK", LA=label)
    for _ in range(ROUNDS):
        await _signed(app, public, label)
    await halfway()
    for _ in range(ROUNDS):
        await _signed(app, public, label)
    assert (await _nested(app, "PUBK", LA=label))["RD"] == public["RD"]
    return 2 * ROUNDS


async def _signed(app: Application, public: Answer, label: str) -> None:
    key = load_der_public_key(public.octets("RD"))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    session = os.urandom(32)
    signature = (await _nested(app, "SIGN", LA=label, BO=session, RG=4)).octets("RH")
    key.verify(signature, session, ec.ECDSA(hashes.SHA256()))


async def _nested(app: Application, name: str, **fields: object) -> Answer:
    answer = await app.do("RKRL", NC=name, **fields)
    assert answer["NC"] == name, answer.raw
    return answer
