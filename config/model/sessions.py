"""How clients log in."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from msgspec import Meta

from .values import Code, Count, FieldValue, Seconds, Tag


@attrs.frozen(kw_only=True)
class LoginRule:
    command: Code
    """four upper-case letters or digits"""
    success: FieldValue
    """the field of the answer that says yes"""


@attrs.frozen(kw_only=True)
class Sessions:
    """How clients log in, and how their logins follow them from device to device."""

    login: tuple[LoginRule, ...] = (LoginRule(command="RKLG", success=FieldValue(tag="AN", value="Y")),)
    """the commands that log in: by default RKLG, with `{tag: AN, value: Y}`"""
    logout: tuple[Code, ...] = ()
    """the commands that log out"""
    logins_required: Annotated[int, Meta(ge=1, le=2)] = 1
    """2 where devices are in FIPS mode"""
    replay: bool = True
    """whether a login may be repeated on other devices; if not, its client stays on one"""
    token: tuple[Tag, ...] = ("JW",)
    """fields in the answer to a login that are worth something on that device only: its client stays there"""
    login_needed: tuple[FieldValue, ...] = (FieldValue(tag="BB", value="LOGIN REQUIRED"),)
    """fields of an ERRO answer that say the login is no longer good: by default `{tag: BB, value: LOGIN REQUIRED}`"""
    idle: Seconds = 300.0
    """a connection unused for that long is closed"""
    max_age: Seconds = 900.0
    """how long one login is used on a connection"""
    max_requests: Count = 7500
    """for how many requests"""
    share: Literal["identity", "none"] = "identity"
    """whether clients with the same certificate and the same login, to the byte, share connections"""
    failures: Count = 5
    """refused logins of one identity within `failure_window` after which none reaches a device"""
    failure_window: Seconds = 60.0
    """see `failures`"""
    last_parts: tuple[Code, ...] = ("DRKV", "PEDV")
    """the commands of effect `pinned` that end an exchange"""
    hold: Seconds = 30.0
    """how long a connection waits for the next part of a request"""
