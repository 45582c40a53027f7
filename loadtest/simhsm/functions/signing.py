"""Signatures.

Public is RSAS: ``RC`` key, ``RF`` data, ``RG`` hash (0 none, 1 SHA-1, 4 SHA-256), ``BN1`` -> ``BNCONTINUE`` and ``CH``,
and in the end ``RH``. Invented are the other hash numbers, ``ZA2`` for PSS, RSAV's tags, and the bodies of ASYS, ASYV
and GPSV.
"""

from __future__ import annotations

import os
from typing import Final

import attrs
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed

from loadtest.simhsm.call import Call
from loadtest.simhsm.key import PRIVATE, Key, KeyKind, PrivateKey, PublicKey, Usage, load_public
from loadtest.simhsm.refusal import Refused, invalid, wrong_key
from loadtest.simhsm.registry import Fields, function

HASHES: Final[dict[int, hashes.HashAlgorithm]] = {
    1: hashes.SHA1(),  # noqa: S303 (what clients ask for)
    3: hashes.SHA224(),
    4: hashes.SHA256(),
    5: hashes.SHA384(),
    6: hashes.SHA512(),
}
_PARTS_MOST: Final = 64  # unfinished exchanges of one connection


@attrs.define(eq=False)
class _Parts:
    """A signature of which some parts have come."""

    code: str
    key: Key
    hashing: int  # RG
    padding: str  # ZA
    digest: hashes.Hash | None
    data: bytes = b""  # what came, where there is no hash

    def add(self, data: bytes) -> None:
        if self.digest is not None:
            self.digest.update(data)
        else:
            self.data += data

    def result(self) -> bytes:
        return self.digest.finalize() if self.digest is not None else self.data


@function("RSAS")
def rsas(call: Call) -> Fields:
    """Sign ``RF`` with RSA key ``RC`` -> ``RH``. ``RG`` hash, ``ZA`` padding (1 PKCS #1 v1.5, 2 PSS).

    ``BN1`` says that more parts come: the answer is ``BNCONTINUE`` with ``CH``, which the next part returns, and the
    last part has ``BN0``. A ``CH`` is known to the connection that it was given to, and to no other.
    """
    parts = _collect(call, Usage.SIGN)
    if isinstance(parts, dict):
        return parts
    return {"RH": sign(parts.key.private(), parts.result(), parts.hashing, parts.padding).hex().upper()}


@function("RSAV")
def rsav(call: Call) -> Fields:
    """Verify ``RH`` over ``RF`` with ``RC``, or with ``RD`` (public) -> ``BBY`` or ``BBN``. In parts as RSAS."""
    parts = _collect(call, Usage.VERIFY)
    if isinstance(parts, dict):
        return parts
    good = verify(parts.key.public(), call.octets("RH"), parts.result(), parts.hashing, parts.padding)
    return {"BB": "Y" if good else "N"}


@function("ASYS")
def asys(call: Call) -> Fields:
    """Sign ``BO`` with RSA or EC key ``RC`` -> ``RH``. ``RG`` and ``ZA`` as RSAS; ECDSA gives DER. Invented."""
    key = call.key("RC", Usage.SIGN, PRIVATE)
    digest = hashed(call, call.octets("BO"))
    return {"RH": sign(key.private(), digest, call.number("RG", 4), call.choice("ZA", "12", "1")).hex().upper()}


@function("ASYV")
def asyv(call: Call) -> Fields:
    """Verify ``RH`` over ``BO`` with ``RD`` (public) or ``RC`` -> ``BBY`` or ``BBN``. Invented."""
    public = _public(call).public()
    digest = hashed(call, call.octets("BO"))
    good = verify(public, call.octets("RH"), digest, call.number("RG", 4), call.choice("ZA", "12", "1"))
    return {"BB": "Y" if good else "N"}


@function("GPSV")
def gpsv(call: Call) -> Fields:
    """``OPS`` signs as ASYS does, ``OPV`` verifies as ASYV does. Invented."""
    return asys(call) if call.choice("OP", "SV") == "S" else asyv(call)


def sign(key: PrivateKey, digest: bytes, hashing: int, pad: str) -> bytes:
    """Sign a digest, or with hashing 0 the bytes themselves (PKCS #1 v1.5 without a DigestInfo)."""
    try:
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(digest, ec.ECDSA(Prehashed(_of_size(digest, hashing))))
        return key.sign(digest, _padding(pad, hashing), _algorithm(hashing))
    except ValueError:
        raise invalid("RF", "DATA DOES NOT FIT THE KEY") from None


def verify(key: PublicKey, signature: bytes, digest: bytes, hashing: int, pad: str) -> bool:
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, digest, ec.ECDSA(Prehashed(_of_size(digest, hashing))))
        else:
            key.verify(signature, digest, _padding(pad, hashing), _algorithm(hashing))  # type: ignore[arg-type]
    except InvalidSignature:
        return False
    except ValueError:
        raise invalid("RH") from None
    return True


def hash_number(call: Call, tag: str = "RG") -> hashes.HashAlgorithm:
    try:
        return HASHES[call.number(tag, 4)]
    except KeyError:
        raise invalid(tag) from None


def _collect(call: Call, use: Usage) -> _Parts | dict[str, str]:
    """The parts, all come; or the answer that asks for the next one."""
    waiting = call.session.parts
    if call.has("CH"):
        parts = waiting.pop(call.text("CH"), None)
        if not isinstance(parts, _Parts) or parts.code != call.message.code:
            raise invalid("CH", "UNKNOWN CONTINUATION")
    else:
        key = call.key("RC", use, frozenset({KeyKind.RSA})) if use is Usage.SIGN else _public(call)
        if not isinstance(key.public(), rsa.RSAPublicKey):
            raise wrong_key("RC")
        hashing = call.number("RG", 4)
        digest = hashes.Hash(hash_number(call)) if hashing else None
        parts = _Parts(call.message.code, key, hashing, call.choice("ZA", "12", "1"), digest)
    parts.add(call.octets("RF"))
    if call.choice("BN", "01", "0") == "0":
        return parts
    if len(waiting) >= _PARTS_MOST:
        raise Refused(40, "BN", "TOO MANY CONTINUATIONS")
    token = os.urandom(8).hex().upper()
    waiting[token] = parts
    return {"BN": "CONTINUE", "CH": token}


def _public(call: Call) -> Key:
    """The key to verify with: ``RD`` in clear, or ``RC``."""
    if not call.has("RD"):
        return call.key("RC", Usage.VERIFY, PRIVATE | {KeyKind.PUBLIC})
    try:
        load_public(call.octets("RD"))
    except ValueError:
        raise invalid("RD") from None
    return Key(KeyKind.PUBLIC, call.octets("RD"))


def hashed(call: Call, data: bytes) -> bytes:
    """The hash ``RG`` of it; with 0 itself."""
    if not call.number("RG", 4):
        return data
    digest = hashes.Hash(hash_number(call))
    digest.update(data)
    return digest.finalize()


def _padding(pad: str, hashing: int) -> padding.AsymmetricPadding:
    if pad == "1":
        return padding.PKCS1v15()
    if not hashing:
        raise invalid("ZA", "PSS NEEDS A HASH")
    return padding.PSS(padding.MGF1(HASHES[hashing]), padding.PSS.DIGEST_LENGTH)


def _algorithm(hashing: int) -> Prehashed | NoDigestInfo:
    return Prehashed(HASHES[hashing]) if hashing else NoDigestInfo()


def _of_size(digest: bytes, hashing: int) -> hashes.HashAlgorithm:
    """The hash of a digest; with hashing 0 whichever has its length. Raises ValueError when none has."""
    if hashing:
        return HASHES[hashing]
    for algorithm in HASHES.values():
        if algorithm.digest_size == len(digest):
            return algorithm
    raise ValueError("no hash has that length")
