"""How the proxy's own answers read."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Final

import attrs
from msgspec import Meta


@attrs.frozen(kw_only=True)
class ErrorText:
    """How one answer of the proxy's own reads: ``AM`` and ``BB`` of it."""

    number: Annotated[int, Meta(ge=0, le=99999)]
    """the `AM` field"""
    text: Annotated[
        str,
        Meta(
            pattern=r"^[ !-:<-Z\\^-~]{1,64}$",
            description="1 to 64 printable ASCII characters, without ; [ and ]",
        ),
    ]
    """the `BB` field"""


class Refusal(enum.Enum):
    """What the proxy answers itself; the value is the key under ``errors:``."""

    BLOCKED = "blocked"
    NO_DEVICE = "no_device"
    OUTCOME_UNKNOWN = "outcome_unknown"
    BUSY = "busy"
    TIMED_OUT = "timed_out"
    MALFORMED = "malformed"
    TOO_LONG = "too_long"
    SHUTTING_DOWN = "shutting_down"
    LOGIN_LOST = "login_lost"


DEFAULT_ERRORS: Final[Mapping[Refusal, ErrorText]] = {
    Refusal.BLOCKED: ErrorText(number=901, text="FUNCTION BLOCKED"),
    Refusal.NO_DEVICE: ErrorText(number=902, text="NO DEVICE AVAILABLE"),
    Refusal.OUTCOME_UNKNOWN: ErrorText(number=903, text="OUTCOME UNKNOWN"),
    Refusal.BUSY: ErrorText(number=904, text="BUSY"),
    Refusal.TIMED_OUT: ErrorText(number=905, text="TIMED OUT"),
    Refusal.MALFORMED: ErrorText(number=906, text="MALFORMED MESSAGE"),
    Refusal.TOO_LONG: ErrorText(number=907, text="MESSAGE TOO LONG"),
    Refusal.SHUTTING_DOWN: ErrorText(number=908, text="SHUTTING DOWN"),
    Refusal.LOGIN_LOST: ErrorText(number=909, text="LOGIN LOST"),
}
