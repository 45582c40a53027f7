"""Keys made or agreed for exchange. Public is RKEY (``FS`` -> ``AK``); all other tags are invented.

TWKA, TWKS and TWKM, which translate keys, are GPWK and GPUK here. TR-31 and TR-34 blocks are not emulated.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from loadtest.simhsm.call import Call
from loadtest.simhsm.key import Key, KeyKind, Usage, load_public
from loadtest.simhsm.refusal import invalid, wrong_key
from loadtest.simhsm.registry import Fields, function

from .key_operations import random_key
from .key_wrapping import wrap_whole


@function("RKEY")
def rkey(call: Call) -> Fields:
    """Make a symmetric key: ``FS`` modifier, ``CT`` as GPGS (by default 6) -> ``AK`` cryptogram, ``AE``."""
    key = random_key(call, 6)
    return {"AK": call.hsm.major_key.wrap(key), "AE": key.check_value()}


@function("GWKS")
def gwks(call: Call) -> Fields:
    """Make a symmetric key -> ``BG`` under the major key and ``BK`` under ``AK``, ``AE``."""
    key = random_key(call, 6)
    return {"BG": call.hsm.major_key.wrap(key), "BK": wrap_whole(call, key), "AE": key.check_value()}


@function("SDDH")
def sddh(call: Call) -> Fields:
    """ECDH of ``RC`` and the other side's ``RD``, then ANSI X9.63 with SHA-256 and ``BO`` -> AES-256 key ``BG``."""
    private = call.key("RC", Usage.DERIVE, frozenset({KeyKind.EC})).private()
    try:
        public = load_public(call.octets("RD"))
        if not (isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(public, ec.EllipticCurvePublicKey)):
            raise wrong_key("RD")
        secret = private.exchange(ec.ECDH(), public)
    except ValueError:
        raise invalid("RD") from None
    material = X963KDF(hashes.SHA256(), 32, call.octets("BO", b"")).derive(secret)
    key = Key(KeyKind.AES, material, call.usage())
    return {"BG": call.hsm.major_key.wrap(key), "AE": key.check_value()}
