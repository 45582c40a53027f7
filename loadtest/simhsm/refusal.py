"""Why a device says no: the error answers.

Only 34 INVALID TOKEN is a number seen in a public example. All other numbers are invented.
"""

from __future__ import annotations

from typing import Final

LOGIN_REQUIRED: Final = 20
NOT_PERMITTED: Final = 21
INVALID_TOKEN: Final = 34
EMPTY_SLOT: Final = 35
MISSING_KEY: Final = frozenset({INVALID_TOKEN, EMPTY_SLOT})  # the request needs a key that this device has not got


class Refused(Exception):  # noqa: N818 (says what happened)
    """A request is answered with ERRO; the connection stays. The field named by `tag` is at fault."""

    def __init__(self, number: int, tag: str, text: str) -> None:
        super().__init__(f"{number} {tag} {text}")
        self.number = number
        self.tag = tag
        self.text = text


def unknown_function() -> Refused:
    return Refused(1, "AO", "UNKNOWN FUNCTION")


def failed() -> Refused:
    """Our own fault, not the request's."""
    return Refused(99, "AO", "INTERNAL ERROR")


def malformed() -> Refused:
    return Refused(2, "AO", "MALFORMED MESSAGE")


def missing(tag: str) -> Refused:
    return Refused(3, tag, "MISSING FIELD")


def invalid(tag: str, text: str = "INVALID FIELD") -> Refused:
    return Refused(4, tag, text)


def login_required(number: int = LOGIN_REQUIRED, text: str = "LOGIN REQUIRED") -> Refused:
    """The connection has no identity, and the function needs one. How a real device says so is not public."""
    return Refused(number, "AO", text)


def not_permitted() -> Refused:
    """The connection's role does not have the function."""
    return Refused(NOT_PERMITTED, "AO", "FUNCTION NOT PERMITTED")


def invalid_token(tag: str) -> Refused:
    """A key reference that this device cannot use: a foreign or damaged cryptogram."""
    return Refused(INVALID_TOKEN, tag, "INVALID TOKEN")


def empty_slot(tag: str) -> Refused:
    return Refused(EMPTY_SLOT, tag, "KEY SLOT EMPTY")


def wrong_key(tag: str, text: str = "WRONG KEY TYPE") -> Refused:
    return Refused(36, tag, text)


def usage(tag: str) -> Refused:
    """The key's usage does not include what was asked."""
    return Refused(37, tag, "KEY USAGE")


def table_full(tag: str) -> Refused:
    return Refused(38, tag, "KEY TABLE FULL")
