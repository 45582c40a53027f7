"""Making keys, and putting them into the key table.

Public are GPGS (``FS``, ``CT``, ``AK`` -> ``BG``, ``AE``), GRSA and GECC (``RB``, ``RA`` -> ``RC``, ``SD``, ``RD``).
Invented are: what their numbers mean, that ``RD`` is a SubjectPublicKeyInfo, ``BD`` and ``LA`` (slot and label) and
``LU`` (usage), and the bodies of all other functions here.
"""

from __future__ import annotations

import os
from typing import Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from loadtest.simhsm.call import Call
from loadtest.simhsm.key import PRIVATE, Key, KeyKind, private_key, public_bytes
from loadtest.simhsm.keytable import Slot
from loadtest.simhsm.refusal import invalid
from loadtest.simhsm.registry import Fields, function

from .key_reading import fingerprint

# CT -> what GPGS makes. That the public example's CT6 is an AES-256 key is a guess.
_SYMMETRIC: Final = {
    2: (KeyKind.TDES, 16),
    3: (KeyKind.TDES, 24),
    4: (KeyKind.AES, 16),
    5: (KeyKind.AES, 24),
    6: (KeyKind.AES, 32),
    7: (KeyKind.SECRET, 32),
    8: (KeyKind.SECRET, 64),
}
_CURVES: Final[dict[int, ec.EllipticCurve]] = {
    1: ec.SECP224R1(),
    2: ec.SECP256R1(),
    3: ec.SECP384R1(),
    4: ec.SECP521R1(),
}


@function("GPGS")
def gpgs(call: Call) -> Fields:
    """Make a symmetric key: ``CT`` kind and length, ``FS`` modifier -> ``BG`` cryptogram, ``AE`` check value."""
    key = random_key(call)
    return {"BG": call.hsm.major_key.wrap(key), "AE": key.check_value(), **call.store(key)}


def symmetric_kind(call: Call, default: int | None = None) -> tuple[KeyKind, int]:
    """Kind and length in bytes that ``CT`` names."""
    try:
        return _SYMMETRIC[call.number("CT", default)]
    except KeyError:
        raise invalid("CT") from None


def random_key(call: Call, default: int | None = None) -> Key:
    kind, length = symmetric_kind(call, default)
    return Key(kind, os.urandom(length), call.usage(), call.number("FS", 0))


@function("GRSA", slow=True)
def grsa(call: Call) -> Fields:
    """Make an RSA key: ``RB`` bits, ``RA`` exponent (hex) -> ``RC`` private, ``RD`` public, ``SD`` its SHA-1."""
    bits = call.number("RB", low=1024, high=8192)
    try:
        key = call.hsm.key_pool.take(bits, call.number("RA", 65537, high=1 << 32, base=16))
    except ValueError:
        raise invalid("RA") from None
    return _pair(call, private_key(key, call.usage(), call.number("FS", 0)))


@function("GECC")
def gecc(call: Call) -> Fields:
    """Make an EC key: ``RA`` curve (1 P-224, 2 P-256, 3 P-384, 4 P-521) -> as GRSA."""
    return _pair(call, random_pair(call))


def random_pair(call: Call) -> Key:
    """An EC key of curve ``RA``."""
    try:
        curve = _CURVES[call.number("RA", 2)]
    except KeyError:
        raise invalid("RA") from None
    return private_key(ec.generate_private_key(curve), call.usage(), call.number("FS", 0))


@function("GPKA")
def gpka(call: Call) -> Fields:
    """Put a key into the table: ``BG`` cryptogram, ``BD`` slot (or the first free one), ``LA`` -> ``BD``, ``AE``."""
    key = call.key("BG")
    number = call.store_anywhere(Slot(key, call.text("LA", "")))
    return {"BD": str(number), "AE": key.check_value()}


@function("LRSA")
def lrsa(call: Call) -> Fields:
    """Put an RSA key into the table: ``RC``, ``BD``, ``LA`` -> ``BD``, ``SD``. There is one table for all keys here."""
    return _load(call, frozenset({KeyKind.RSA}))


@function("ASYL")
def asyl(call: Call) -> Fields:
    """Put an RSA or EC key into the table, as LRSA does."""
    return _load(call, PRIVATE)


@function("GPCA")
def gpca(call: Call) -> Fields:
    """Put a certificate (``RT``, DER in hex) beside the key of slot ``BD``, or into a slot of its own -> ``BD``."""
    try:
        certificate = x509.load_der_x509_certificate(call.octets("RT"))
    except ValueError:
        raise invalid("RT") from None
    der = certificate.public_bytes(Encoding.DER)
    if call.has("BD") and call.slot() in call.hsm.table:
        number, slot = call.filled_slot()
        return {"BD": str(call.hsm.table.put(attrs.evolve(slot, certificate=der), number))}
    return {"BD": str(call.store_anywhere(Slot(None, call.text("LA", ""), der)))}


@function("GPKD")
def gpkd(call: Call) -> Fields:
    """Empty slot ``BD`` -> ``BD``. An empty slot is an error: deleting twice does not look like deleting once."""
    number, _ = call.filled_slot()
    call.hsm.table.delete(number)
    return {"BD": str(number)}


def _load(call: Call, kinds: frozenset[KeyKind]) -> Fields:
    key = call.key("RC", kinds=kinds)
    number = call.store_anywhere(Slot(key, call.text("LA", "")))
    return {"BD": str(number), "SD": fingerprint(public_bytes(key.public()))}


def _pair(call: Call, key: Key) -> Fields:
    public = public_bytes(key.public())
    return {
        "RC": call.hsm.major_key.wrap(key),
        "SD": fingerprint(public),
        "RD": public.hex().upper(),
        **call.store(key),
    }
