"""Hashes and message authentication codes.

Public is HMAC: ``RG`` hash, ``AR`` key, ``BO`` data, ``BN0`` -> ``CF``. All other bodies are invented after it.
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import hmac as hmac_
from cryptography.hazmat.primitives.cmac import CMAC

from loadtest.simhsm.call import Call
from loadtest.simhsm.key import SYMMETRIC, KeyKind, Usage
from loadtest.simhsm.refusal import invalid
from loadtest.simhsm.registry import Fields, function

from .signing import hash_number


@function("GHSH")
def ghsh(call: Call) -> Fields:
    """The hash ``RG`` of ``BO`` -> ``CF``."""
    digest = hashes.Hash(hash_number(call))
    digest.update(call.octets("BO"))
    return {"CF": digest.finalize().hex().upper()}


@function("HMAC", "RKHM")
def hmac_function(call: Call) -> Fields:
    """HMAC of ``BO`` with ``AR`` and hash ``RG`` -> ``CF``. In one part only: ``BN1`` is an error.

    The public example has RG3; that it means SHA-224, between RSAS's SHA-1 and SHA-256, is a guess.
    """
    if call.choice("BN", "01", "0") == "1":
        raise invalid("BN", "ONE PART ONLY")
    key = call.key("AR", Usage.MAC, SYMMETRIC | {KeyKind.SECRET})
    code = hmac_.HMAC(key.material, hash_number(call))
    code.update(call.octets("BO"))
    return {"CF": code.finalize().hex().upper()}


@function("GPMC", "GMAC")
def gpmc(call: Call) -> Fields:
    """CMAC of ``BO`` with ``BG`` -> ``CF``."""
    return {"CF": _cmac(call).hex().upper()}


@function("VMAC")
def vmac(call: Call) -> Fields:
    """Verify the CMAC ``CF`` of ``BO`` with ``BG`` -> ``BBY`` or ``BBN``."""
    return {"BB": "Y" if hmac.compare_digest(_cmac(call), call.octets("CF")) else "N"}


def _cmac(call: Call) -> bytes:
    code = CMAC(call.key("BG", Usage.MAC, SYMMETRIC).block_cipher())
    code.update(call.octets("BO"))
    return code.finalize()
