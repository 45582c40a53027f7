"""Logins. RKLG's ``DA``, ``CH``, ``AP``, ``AN`` and ``JW`` are public; ``LR`` is invented.

The login of certificate, nonce and signature in two steps is not emulated.
"""

from __future__ import annotations

import os

from loadtest.simhsm.call import Call
from loadtest.simhsm.identity import LOGIN
from loadtest.simhsm.registry import Fields, function


@function(LOGIN)
def rklg(call: Call) -> Fields:
    """Log in with ``DA`` user and ``CH`` password, or ``AP`` token -> ``ANY``, or ``ANN``.

    A token login also answers ``JW``. Where the device needs a second login, ``LR`` says how many are missing.
    A login that fails leaves the connection as it was.
    """
    if call.has("AP"):
        identity = call.hsm.directory.by_token(call.text("AP"))
    else:
        identity = call.hsm.directory.by_password(call.text("DA"), call.text("CH"))
    if identity is None:
        return {"AN": "N"}
    call.session.log_in(identity, call.now)
    answer = {"AN": "Y"}
    if call.has("AP"):
        answer["JW"] = os.urandom(24).hex().upper()
    if call.session.missing:
        answer["LR"] = str(call.session.missing)
    return answer
