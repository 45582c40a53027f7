"""The key table seen from outside. All tags but ``BD`` are invented."""

from __future__ import annotations

import attrs

from loadtest.simhsm.call import Call
from loadtest.simhsm.keytable import Slot
from loadtest.simhsm.refusal import wrong_key
from loadtest.simhsm.registry import Fields, function


@function("GPKM")
def gpkm(call: Call) -> Fields:
    """The table: ``KC`` slots, ``KN`` of them filled, ``KT`` a list of slot:kind:check value, ``KH`` a digest.

    The list is between commas, from the lowest slot to the highest. ``KH`` covers labels, usages, modifiers and
    certificates too. The body follows from the table alone: devices with equal tables answer alike, and others do not.
    """
    table = call.hsm.table
    entries = [f"{number}:{_kind(table[number])}:{_check_value(table[number])}" for number in list(table)]
    return {"KC": str(table.size), "KN": str(len(entries)), "KT": ",".join(entries), "KH": table.digest()}


@function("GPKR")
def gpkr(call: Call) -> Fields:
    """Settings of slot ``BD``: ``KT`` kind, ``LA`` label, ``LU`` usage, ``FS`` modifier, ``AE``, ``CE`` certificate."""
    number, slot = call.filled_slot()
    key = slot.key
    return {
        "BD": str(number),
        "KT": _kind(slot),
        "LA": slot.label,
        "LU": f"{key.usage:X}" if key else "0",
        "FS": str(key.modifier) if key else "0",
        "AE": _check_value(slot),
        "CE": "Y" if slot.certificate else "N",
    }


@function("GPKS")
def gpks(call: Call) -> Fields:
    """As GPKR, after ``LA`` and ``LU`` of the request have become the slot's."""
    number, slot = call.filled_slot()
    changed = slot
    if call.has("LU"):
        if slot.key is None:
            raise wrong_key("BD")
        changed = attrs.evolve(changed, key=attrs.evolve(slot.key, usage=call.usage()))
    if call.has("LA"):
        changed = attrs.evolve(changed, label=call.text("LA"))
    if changed is not slot:
        call.hsm.table.put(changed, number)
    return gpkr(call)


@function("KMAP")
def kmap(call: Call) -> Fields:
    """``BM``: a bit for each slot in hex, the first slot in the highest bit."""
    return {"BM": call.hsm.table.bitmap().hex().upper()}


@function("VKTE")
def vkte(call: Call) -> Fields:
    """Whether the key in slot ``BD`` has check value ``AE``: ``BBY`` or ``BBN``."""
    _, slot = call.filled_slot()
    return {"BB": "Y" if _check_value(slot) == call.text("AE").upper() else "N"}


def _kind(slot: Slot) -> str:
    return slot.key.kind.name if slot.key else "CERTIFICATE"


def _check_value(slot: Slot) -> str:
    return slot.key.check_value() if slot.key else ""
