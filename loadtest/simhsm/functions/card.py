"""Card verification values, by the method of Visa and Mastercard. All tags are invented.

``BC`` is the TDES key of two halves, ``AK`` the card number, ``ED`` the expiry (four digits), ``SC`` the service code.
"""

from __future__ import annotations

from loadtest.simhsm.call import Call
from loadtest.simhsm.key import Key, KeyKind
from loadtest.simhsm.refusal import invalid, wrong_key
from loadtest.simhsm.registry import Fields, function

from .pin import TDES, decimal, encrypt_block


@function("GCVV", "GCVC")
def gcvv(call: Call) -> Fields:
    """``BC``, ``AK``, ``ED``, ``SC`` -> ``CV``, three digits."""
    return {"CV": _value(call)}


@function("VCVV", "VCVC")
def vcvv(call: Call) -> Fields:
    """As GCVV, and compare with ``CV`` -> ``BBY`` or ``BBN``."""
    return {"BB": "Y" if call.text("CV") == _value(call) else "N"}


def card_value(material: bytes, data: str) -> str:
    """Three digits for a card's number, expiry and service code in a row. `material` is 16 bytes."""
    left = Key(KeyKind.TDES, material[:8] * 3)  # three times the same key is single DES
    whole = Key(KeyKind.TDES, material)
    padded = bytes.fromhex(data.ljust(32, "0"))
    first = encrypt_block(left, padded[:8])
    return decimal(encrypt_block(whole, bytes(a ^ b for a, b in zip(first, padded[8:], strict=True))), 3)


def _value(call: Call) -> str:
    key = call.key("BC", kinds=TDES)
    if len(key.material) != 16:
        raise wrong_key("BC")
    for tag, low, high in (("AK", 12, 19), ("ED", 4, 4), ("SC", 3, 3)):
        if not call.text(tag).isdecimal() or not low <= len(call.text(tag)) <= high:
            raise invalid(tag)
    return card_value(key.material, call.text("AK") + call.text("ED") + call.text("SC"))
