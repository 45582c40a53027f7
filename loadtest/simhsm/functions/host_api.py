"""The Host API of a KMES. Public are RKLG, and that RKRL and CLCR carry nested commands; all else here is invented.

A nested command is named by ``NC``; the other fields are its own. It answers under the code that carried it, with
``NC`` first. Keys have labels, which take the place of slots: ``LA`` names one. CLCR is not emulated.
"""

from __future__ import annotations

from typing import Final

from loadtest.simhsm.call import Call
from loadtest.simhsm.key import PRIVATE, Key, Usage, public_bytes
from loadtest.simhsm.keytable import Slot
from loadtest.simhsm.refusal import Refused, empty_slot, invalid, usage, wrong_key
from loadtest.simhsm.registry import HOST_API, NESTED, Fields, function

from .key_operations import random_pair
from .key_reading import fingerprint
from .signing import hashed, sign

CARRIER: Final = "RKRL"
SUBCOMMAND: Final = "NC"


@function(CARRIER, into=HOST_API)
def carry(call: Call) -> Fields:
    """``NC`` and the fields of what it names -> ``NC`` and its answer's fields."""
    name = call.text(SUBCOMMAND)
    nested = NESTED.get(name)
    if nested is None:
        raise invalid(SUBCOMMAND, "UNKNOWN COMMAND")
    return {SUBCOMMAND: name, **nested.run(call)}


@function("KEYS", into=NESTED)
def keys(call: Call) -> Fields:
    """-> ``LA``: the labels, between commas, in the order of their slots."""
    table = call.hsm.table
    return {"LA": ",".join(table[number].label for number in list(table))}


@function("MAKE", into=NESTED)
def make(call: Call) -> Fields:
    """Make an EC key (``RA`` curve as GECC, ``LU`` usage) under the new label ``LA`` -> ``RD`` public, ``SD``."""
    label = call.text("LA")
    if not label or call.hsm.table.labelled(label) is not None:
        raise Refused(39, "LA", "LABEL IN USE")
    key = random_pair(call)
    call.store_anywhere(Slot(key, label))
    return _public(key)


@function("PUBK", into=NESTED)
def pubk(call: Call) -> Fields:
    """The public half of the key ``LA`` -> ``RD``, ``SD``."""
    return _public(_private(call))


@function("SIGN", into=NESTED)
def nested_sign(call: Call) -> Fields:
    """Sign ``BO`` with the key ``LA`` -> ``RH``; ``RG`` and ``ZA`` as RSAS. What `ssh -I` asks for."""
    key = _private(call)
    if not key.allows(Usage.SIGN):
        raise usage("LA")
    digest = hashed(call, call.octets("BO"))
    return {"RH": sign(key.private(), digest, call.number("RG", 4), call.choice("ZA", "12", "1")).hex().upper()}


@function("DROP", into=NESTED)
def drop(call: Call) -> Fields:
    """Delete the key ``LA`` -> ``LA``."""
    table = call.hsm.table
    for number in list(table):
        if table[number].label == call.text("LA"):
            table.delete(number)
            return {"LA": call.text("LA")}
    raise empty_slot("LA")


def _private(call: Call) -> Key:
    slot = call.hsm.table.labelled(call.text("LA"))
    if slot is None:
        raise empty_slot("LA")
    if slot.key is None or slot.key.kind not in PRIVATE:
        raise wrong_key("LA")
    return slot.key


def _public(key: Key) -> Fields:
    public = public_bytes(key.public())
    return {"RD": public.hex().upper(), "SD": fingerprint(public)}
