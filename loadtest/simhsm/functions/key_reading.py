"""What can be had of a key that is there. All tags but ``RC`` and ``RD`` are invented."""

from __future__ import annotations

from hashlib import sha1

from cryptography.hazmat.primitives.asymmetric import rsa

from loadtest.simhsm.call import Call
from loadtest.simhsm.key import PRIVATE, KeyKind, public_bytes
from loadtest.simhsm.refusal import wrong_key
from loadtest.simhsm.registry import Fields, function

_ASYMMETRIC = PRIVATE | {KeyKind.PUBLIC}


@function("APFP")
def apfp(call: Call) -> Fields:
    """The public key of a private key: ``RC`` -> ``RD``, ``SD``."""
    public = public_bytes(call.key("RC", kinds=PRIVATE).public())
    return {"RD": public.hex().upper(), "SD": fingerprint(public)}


@function("RPFP", "RPPF")
def rpfp(call: Call) -> Fields:
    """The public numbers of an RSA private key: ``RC`` -> ``RM`` modulus, ``RE`` exponent (hex)."""
    public = call.key("RC", kinds=frozenset({KeyKind.RSA})).public()
    if not isinstance(public, rsa.RSAPublicKey):
        raise wrong_key("RC")
    numbers = public.public_numbers()
    return {"RM": f"{numbers.n:X}", "RE": f"{numbers.e:X}"}


@function("ADPK")
def adpk(call: Call) -> Fields:
    """The clear key of a trusted public key, as AVPC gives it: ``RP`` -> ``RD``."""
    return {"RD": public_bytes(call.key("RP", kinds=frozenset({KeyKind.PUBLIC})).public()).hex().upper()}


@function("RDPK")
def rdpk(call: Call) -> Fields:
    """The clear public key of any cryptogram of a key pair: ``RC`` -> ``RD``."""
    return {"RD": public_bytes(call.key("RC", kinds=_ASYMMETRIC).public()).hex().upper()}


@function("GPGC")
def gpgc(call: Call) -> Fields:
    """The cryptogram of the key in slot ``BD`` -> ``BG``, ``AE``."""
    _, slot = call.filled_slot()
    if slot.key is None:
        raise wrong_key("BD")
    return {"BG": call.hsm.major_key.wrap(slot.key), "AE": slot.key.check_value()}


def fingerprint(public: bytes) -> str:
    """What ``SD`` holds: SHA-1 of the SubjectPublicKeyInfo. Invented."""
    return sha1(public, usedforsecurity=False).hexdigest().upper()
