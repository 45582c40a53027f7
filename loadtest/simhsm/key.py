"""A key as the inside of a device knows it."""

from __future__ import annotations

import enum
from functools import lru_cache
from typing import Final

import attrs
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class KeyKind(enum.IntEnum):
    """What the material is; the value stands in cryptograms."""

    AES = 1
    TDES = 2
    SECRET = 3  # bytes for HMAC, of any length
    RSA = 4  # PKCS #8, DER
    EC = 5
    PUBLIC = 6  # SubjectPublicKeyInfo, DER: a public key that the device trusts


class Usage(enum.IntFlag):
    """What a key may do; none given means everything. The bits are invented."""

    ENCRYPT = 1
    DECRYPT = 2
    SIGN = 4
    VERIFY = 8
    MAC = 16
    WRAP = 32
    UNWRAP = 64
    DERIVE = 128


ANY_USE: Final = Usage(0)
SYMMETRIC: Final = frozenset({KeyKind.AES, KeyKind.TDES})
PRIVATE: Final = frozenset({KeyKind.RSA, KeyKind.EC})


@attrs.frozen
class Key:
    """Material with its kind, what it may do, and a modifier: the number under which the major key keeps it."""

    kind: KeyKind
    material: bytes = attrs.field(repr=False)
    usage: Usage = ANY_USE
    modifier: int = 0

    def allows(self, usage: Usage) -> bool:
        return not self.usage or usage in self.usage

    def block_cipher(self) -> BlockCipherAlgorithm:
        """Raises ValueError for a key that is none for a block cipher."""
        if self.kind is KeyKind.AES:
            return AES(self.material)
        if self.kind is KeyKind.TDES:
            return triple_des(self.material)
        raise ValueError(f"{self.kind.name} is no block cipher key")

    def private(self) -> PrivateKey:
        """Raises ValueError for a key that is not private."""
        if self.kind not in PRIVATE:
            raise ValueError(f"{self.kind.name} is no private key")
        return _load_private(self.material)

    def public(self) -> PublicKey:
        """The public half. Raises ValueError for a symmetric key."""
        if self.kind is KeyKind.PUBLIC:
            return load_public(self.material)
        return self.private().public_key()

    def check_value(self) -> str:
        """Six hex digits by which two holders of a key compare it.

        Of a symmetric key a block of zeros encrypted, of an RSA, EC or HMAC key a SHA-256.
        """
        if self.kind in SYMMETRIC:
            algorithm = self.block_cipher()
            zeros = bytes(algorithm.block_size // 8)
            block = Cipher(algorithm, modes.CBC(zeros)).encryptor().update(zeros)
            return block[:3].hex().upper()
        material = self.material if self.kind is KeyKind.SECRET else public_bytes(self.public())
        return _digest(material)[:6]


def triple_des(material: bytes) -> TripleDES:
    """Two-key material of 16 bytes becomes three keys, the first one used again."""
    return TripleDES(material + material[:8] if len(material) == 16 else material)


def private_key(key: PrivateKey, usage: Usage = ANY_USE, modifier: int = 0) -> Key:
    material = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    kind = KeyKind.RSA if isinstance(key, rsa.RSAPrivateKey) else KeyKind.EC
    return Key(kind, material, usage, modifier)


def public_bytes(key: PublicKey) -> bytes:
    """SubjectPublicKeyInfo, DER."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@lru_cache(maxsize=512)
def load_public(material: bytes) -> PublicKey:
    """From SubjectPublicKeyInfo. Raises ValueError for what is neither an RSA nor an EC key."""
    key = load_der_public_key(material)
    if not isinstance(key, PublicKey):
        raise ValueError("neither RSA nor EC")  # noqa: TRY004 (of the bytes, not of the argument)
    return key


@lru_cache(maxsize=512)  # loading costs more than signing
def _load_private(material: bytes) -> PrivateKey:
    key = load_der_private_key(material, None, unsafe_skip_rsa_key_validation=True)  # we made or checked it
    if not isinstance(key, PrivateKey):
        raise ValueError("neither RSA nor EC")  # noqa: TRY004 (of the bytes, not of the argument)
    return key


def _digest(material: bytes) -> str:
    from hashlib import sha256  # noqa: PLC0415 (rarely needed)

    return sha256(material).hexdigest().upper()
