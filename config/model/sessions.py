"""How clients log in."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from msgspec import Meta

from .values import Code, Count, FieldValue, Seconds, Tag


@attrs.frozen(kw_only=True)
class LoginRule:
    command: Code
    success: FieldValue


@attrs.frozen(kw_only=True)
class Sessions:
    """How clients log in, and how their logins follow them from device to device."""

    login: tuple[LoginRule, ...] = (LoginRule(command="RKLG", success=FieldValue(tag="AN", value="Y")),)
    logout: tuple[Code, ...] = ()
    logins_required: Annotated[int, Meta(ge=1, le=2)] = 1  # 2 where the device is in FIPS mode
    replay: bool = True  # False: a client that logs in stays on one device
    token: tuple[Tag, ...] = ("JW",)  # an answer to a login with such a field is worth something on that device only
    login_needed: tuple[FieldValue, ...] = (FieldValue(tag="BB", value="LOGIN REQUIRED"),)  # of an ERRO answer
    idle: Seconds = 300.0  # a connection unused for that long is closed
    max_age: Seconds = 900.0  # of a login on a connection
    max_requests: Count = 7500  # on one login
    share: Literal["identity", "none"] = "identity"
    failures: Count = 5  # refused logins of one identity within `failure_window`; further ones reach no device
    failure_window: Seconds = 60.0
    last_parts: tuple[Code, ...] = ("DRKV", "PEDV")  # with their answer an exchange of pinned commands is over
    hold: Seconds = 30.0  # how long a connection waits for the next part
