"""Remote key loading: three steps that must come over one connection. Only the codes are public.

The first step gives ``NO``, a number used once; the second takes it and gives a key; the third confirms its check
value. A number of another connection, or a step out of order, is refused.
"""

from __future__ import annotations

import os

from loadtest.simhsm.call import Call
from loadtest.simhsm.key import Key, KeyKind
from loadtest.simhsm.refusal import invalid
from loadtest.simhsm.registry import Fields, function


@function("PEDI", "DRKI")
def identify(call: Call) -> Fields:
    """-> ``NO``, ``SN`` the device's serial."""
    number = os.urandom(8).hex().upper()
    call.session.parts[f"{call.message.code[:3]}1"] = number
    return {"NO": number, "SN": call.hsm.serial}


@function("PEDK", "DRKK")
def key(call: Call) -> Fields:
    """``NO`` of the first step -> ``BG`` a new key, ``AE`` its check value."""
    _expect(call, "1", "NO")
    made = Key(KeyKind.AES, os.urandom(32))
    call.session.parts[f"{call.message.code[:3]}2"] = made.check_value()
    return {"BG": call.hsm.major_key.wrap(made), "AE": made.check_value()}


@function("PEDV", "DRKV")
def receipt(call: Call) -> Fields:
    """``AE`` of the second step -> ``BBY``."""
    _expect(call, "2", "AE")
    return {"BB": "Y"}


def _expect(call: Call, step: str, tag: str) -> None:
    if call.session.parts.pop(f"{call.message.code[:3]}{step}", None) != call.text(tag):
        raise invalid(tag, "OUT OF ORDER")
