"""Logins. RKLG's ``DA``, ``CH``, ``AP``, ``AN`` and ``JW`` are public, and that a certificate logs in by two steps.

Invented are ``LR`` and ``LK``, the tags of the two steps (``RT``, ``NO``, ``RH``), and that ``JW`` logs in later.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from loadtest.simhsm.accounts import AccountLocked, LoginResult, LoginTry
from loadtest.simhsm.call import Call
from loadtest.simhsm.identity import LOGIN, Identity
from loadtest.simhsm.key import PublicKey
from loadtest.simhsm.refusal import invalid
from loadtest.simhsm.registry import HOST_API, Fields, function

from .signing import verify

_NONCE: Final = "nonce of a login"  # its place among what a connection waits for
_SHA256: Final = 4


@function(LOGIN)
@function(LOGIN, into=HOST_API)
def rklg(call: Call) -> Fields:
    """Log in -> ``ANY``, or ``ANN``, which leaves the connection as it was.

    ``DA`` user with ``CH`` password; ``AP`` API token, whose answer has ``JW`` too; ``JW`` of such an answer, for ten
    minutes and on the device that gave it; or ``RT`` certificate (DER in hex) -> ``NO`` nonce, then ``RH`` over the
    nonce's bytes, signed with SHA-256. ``LR`` says how many logins are still missing, ``LKY`` that the account is
    locked.
    """
    if call.has("RT"):
        return _challenge(call)
    try:
        user, identity = _who(call)
    except AccountLocked:
        call.session.tried = LoginTry(call.text("DA"), LoginResult.LOCKED)
        return {"AN": "N", "LK": "Y"}
    if identity is None:
        call.session.tried = LoginTry(user, LoginResult.REFUSED)
        return {"AN": "N"}
    call.session.log_in(identity, call.now)
    missing = call.session.missing
    call.session.tried = LoginTry(identity.name, LoginResult.PARTIAL if missing else LoginResult.ACCEPTED)
    answer = {"AN": "Y"}
    if call.has("AP"):
        answer["JW"] = call.hsm.accounts.give_token(identity, call.now)
    if missing:
        answer["LR"] = str(missing)
    return answer


def _who(call: Call) -> tuple[str | None, Identity | None]:
    """Whom the request names, and who it is if it proved that."""
    accounts = call.hsm.accounts
    if call.has("AP"):
        return None, accounts.directory.by_token(call.text("AP"))
    if call.has("JW"):
        return None, accounts.by_given_token(call.text("JW"), call.now)
    if call.has("RH"):
        return _proved(call)
    return call.text("DA"), accounts.by_password(call.text("DA"), call.text("CH"))


def _challenge(call: Call) -> Fields:
    try:
        found = call.hsm.accounts.by_certificate(call.octets("RT"))
    except ValueError:
        raise invalid("RT") from None
    if found is None:
        call.session.tried = LoginTry(None, LoginResult.REFUSED)
        return {"AN": "N"}
    identity, certificate = found
    nonce = os.urandom(32)
    call.session.parts[_NONCE] = (nonce, identity, certificate)
    call.session.tried = LoginTry(identity.name, LoginResult.CHALLENGED)
    return {"NO": nonce.hex().upper()}


def _proved(call: Call) -> tuple[str | None, Identity | None]:
    waiting = call.session.parts.pop(_NONCE, None)  # a nonce is good for one try
    if waiting is None:
        raise invalid("RH", "NO NONCE WAS GIVEN")
    nonce: bytes = waiting[0]
    identity: Identity = waiting[1]
    certificate: x509.Certificate = waiting[2]
    public = certificate.public_key()
    digest = hashes.Hash(hashes.SHA256())
    digest.update(nonce)
    if not isinstance(public, PublicKey) or not verify(public, call.octets("RH"), digest.finalize(), _SHA256, "1"):
        return identity.name, None
    return identity.name, identity
