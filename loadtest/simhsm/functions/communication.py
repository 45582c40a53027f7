"""Communication and the device itself: what is open before login.

Of these bodies only ECHO's is public. All other tags are invented.
"""

from __future__ import annotations

import datetime
import os
from typing import Final

from loadtest.simhsm.call import Call
from loadtest.simhsm.refusal import invalid
from loadtest.simhsm.registry import HOST_API, Fields, function

_RAND_MOST: Final = 4096
_TIME: Final = "%Y%m%d%H%M%S"


@function("ECHO")
@function("ECHO", into=HOST_API)
def echo(call: Call) -> Fields:
    """Nothing but the echo tag, which every answer carries; of a device with a model, ``MD`` model and ``FW`` firmware.

    That ECHO tells a version is public, how is not.
    """
    return _version(call)


def _version(call: Call) -> dict[str, str]:
    hsm = call.hsm
    return {} if hsm.model is None else {"MD": hsm.model, "FW": hsm.firmware}


@function("RAND")
def rand(call: Call) -> Fields:
    """Random bytes: ``BL`` how many (1 to 4,096, by default 32) -> ``BO`` hex. Invented."""
    return {"BO": os.urandom(call.number("BL", 32, low=1, high=_RAND_MOST)).hex().upper()}


@function("PRMD")
def prmd(call: Call) -> Fields:
    """Restrictions: ``FI`` FIPS mode, ``LR`` logins required, ``PM`` what this connection may do. Invented."""
    permitted = [code for code in sorted(call.hsm.functions) if call.session.permits(code)]
    return {
        "FI": "Y" if call.hsm.fips else "N",
        "LR": str(call.session.logins_required),
        "PM": ",".join(permitted),
    }


@function("HASH")
def hash_(call: Call) -> Fields:
    """``SN`` serial, ``FW`` firmware, ``AE`` check value of the major key; ``MD`` model if it has one. Invented."""
    hsm = call.hsm
    return {"SN": hsm.serial, "FW": hsm.firmware, "AE": hsm.major_key.check_value, **_version(call)}


@function("STAT")
def stat(call: Call) -> Fields:
    """Since the start: ``UP`` seconds, ``RQ`` requests, ``ER`` error answers, ``KN`` keys in the table. Invented."""
    hsm = call.hsm
    return {
        "UP": f"{call.now - hsm.started:.0f}",
        "RQ": str(hsm.requests),
        "ER": str(hsm.errors),
        "KN": str(len(hsm.table)),
    }


@function("TIME")
def time_(call: Call) -> Fields:
    """The clock: ``TM`` YYYYMMDDhhmmss (UTC) sets it, which needs a login; the answer has ``TM`` always. Invented."""
    now = datetime.datetime.now(datetime.UTC)
    if call.has("TM"):
        if call.session.identity is None and call.session.directory.anonymous.functions is not None:
            raise call.hsm.login_required(call.session)
        try:
            wanted = datetime.datetime.strptime(call.text("TM"), _TIME).replace(tzinfo=datetime.UTC)
        except ValueError:
            raise invalid("TM") from None
        call.hsm.clock_offset = (wanted - now).total_seconds()
    return {"TM": (now + datetime.timedelta(seconds=call.hsm.clock_offset + 0.5)).strftime(_TIME)}
