"""PINs in ISO 9564 format 0 blocks under TDES keys.

Public is TPIN: ``AW1``, ``AX`` key in, ``BT`` key out, ``AL`` block, ``AK`` account -> ``AL``, ``BBY``. The rest is
invented after it: ``PN`` clear PIN, ``PV`` PIN verification value (Visa's method), ``BV`` its key, ``PI`` the key's
index.
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, modes

from loadtest.simhsm.call import Call
from loadtest.simhsm.key import Key, KeyKind
from loadtest.simhsm.refusal import invalid
from loadtest.simhsm.registry import Fields, function

TDES: Final = frozenset({KeyKind.TDES})
_TRIES: Final = 3  # wrong PINs until an account is locked


@function("TPIN")
def tpin(call: Call) -> Fields:
    """From under ``AX`` to under ``BT`` -> ``AL`` and ``BBY``, or ``BBN`` for a block that holds no PIN."""
    call.choice("AW", "1", "1")
    clear = _opened(call)
    if clear is None:
        return {"AL": "", "BB": "N"}
    return {"AL": _block(call, call.key("BT", kinds=TDES), clear), "BB": "Y"}


@function("EPIN")
def epin(call: Call) -> Fields:
    """Encrypt clear PIN ``PN`` under ``AX`` -> ``AL``."""
    return {"AL": _block(call, call.key("AX", kinds=TDES), _clear(call))}


@function("GPIN")
def gpin(call: Call) -> Fields:
    """A random PIN of ``PL`` digits under ``AX`` -> ``AL``."""
    clear = "".join(secrets.choice("0123456789") for _ in range(call.number("PL", 4, low=4, high=12)))
    return {"AL": _block(call, call.key("AX", kinds=TDES), clear)}


@function("CPIN")
def cpin(call: Call) -> Fields:
    """Whether ``AL`` under ``AX`` holds a PIN: ``BBY`` or ``BBN``. The clear PIN is not answered here."""
    return {"BB": "N" if _opened(call) is None else "Y"}


@function("GOFF")
def goff(call: Call) -> Fields:
    """The verification value of the PIN in ``AL`` under ``AX``: ``BV``, ``PI`` -> ``PV``."""
    clear = _opened(call)
    if clear is None:
        raise invalid("AL", "NO PIN")
    return {"PV": verification_value(call.key("BV", kinds=TDES), _account(call), call.number("PI", 1), clear)}


@function("VPIN")
def vpin(call: Call) -> Fields:
    """Verify the PIN in ``AL`` against ``PV`` -> ``BBY``, ``BBN``, or ``BBL`` when three in a row were wrong."""
    account = call.text("AK")
    if call.hsm.pin_tries.get(account, 0) >= _TRIES:
        return {"BB": "L"}
    clear = _opened(call)
    key = call.key("BV", kinds=TDES)
    good = clear is not None and call.text("PV") == verification_value(key, _account(call), call.number("PI", 1), clear)
    call.hsm.pin_tries[account] = 0 if good else call.hsm.pin_tries.get(account, 0) + 1
    return {"BB": "Y" if good else "N"}


def verification_value(key: Key, account: str, index: int, clear: str) -> str:
    """Four digits: eleven digits of the account, the index and four of the PIN under the key, made decimal."""
    return decimal(encrypt_block(key, bytes.fromhex(f"{account[-11:]}{index % 10}{clear[:4]}")), 4)


def encrypt_block(key: Key, block: bytes) -> bytes:
    return Cipher(key.block_cipher(), modes.CBC(bytes(8))).encryptor().update(block)


def decimal(data: bytes, digits: int) -> str:
    """The first digits of the hex, then its letters as digits from A = 0 on."""
    text = data.hex().upper()
    return ("".join(c for c in text if c.isdecimal()) + "".join(str(ord(c) - 65) for c in text if not c.isdecimal()))[
        :digits
    ]


def _account(call: Call) -> str:
    """The twelve digits before the check digit, or twelve given as such."""
    number = call.text("AK")
    if not number.isdecimal() or not 12 <= len(number) <= 19:
        raise invalid("AK")
    return number if len(number) == 12 else number[-13:-1]


def _clear(call: Call) -> str:
    clear = call.text("PN")
    if not clear.isdecimal() or not 4 <= len(clear) <= 12:
        raise invalid("PN")
    return clear


def _block(call: Call, key: Key, clear: str) -> str:
    plain = int(f"0{len(clear):X}{clear}".ljust(16, "F"), 16) ^ int(_account(call), 16)
    return encrypt_block(key, plain.to_bytes(8, "big")).hex().upper()


def _opened(call: Call) -> str | None:
    """The PIN in ``AL`` under ``AX``; None when there is none."""
    block = call.octets("AL")
    if len(block) != 8:
        raise invalid("AL")
    key = call.key("AX", kinds=TDES)
    plain = Cipher(key.block_cipher(), modes.CBC(bytes(8))).decryptor().update(block)
    text = f"{int.from_bytes(plain, 'big') ^ int(_account(call), 16):016X}"
    length = int(text[1], 16)
    clear, filler = text[2 : 2 + length], text[2 + length :]
    return clear if text[0] == "0" and 4 <= length <= 12 and clear.isdecimal() and not filler.strip("F") else None
