"""The last line of defence against secrets in logs: what a log may hold, whatever it was given.

Nobody is meant to log a field value, a password or a key; this catches who does all the same. It judges by the key's
name and by the look of the value, so it is a net with holes and no excuse.
"""

from __future__ import annotations

import enum
import functools
import math
import re
import traceback
from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

WITHHELD: Final = "(withheld)"
LONGEST: Final = 500  # characters of one value
_DEEPEST: Final = 3
_WIDEST: Final = 32  # entries of one list or mapping

# A key is refused when its last word is one of these: `client_pin` is, `pin_count` and `key_file` are not.
_SECRET_WORDS: Final = frozenset({
    "password", "passphrase", "secret", "secrets", "token", "key", "keys", "pin", "private",
    "authorization", "credential", "credentials",
    "request", "answer", "message", "body", "field", "fields", "value", "values", "data", "payload", "frame", "raw",
})  # fmt: skip
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_EXCRYPT: Final = re.compile(r"\[AO[^\]]*\]?")
_PEM: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]


def safe_field(key: str, value: object) -> Plain:
    """A value as it may stand in a log under that key."""
    return WITHHELD if _secret(key) and not isinstance(value, bool) and value is not None else safe(value)


def safe(value: object, depth: int = 0) -> Plain:
    """A value without secrets, as JSON knows values: cut to a bounded size, and never by calling an unknown `str`."""
    plain: Plain
    match value:
        case enum.Enum():  # first, since it may be a str or an int as well
            plain = safe(value.value, depth)
        case str():
            plain = safe_text(value)
        case None | bool():
            plain = value
        case int():
            plain = int(value)
        case float():
            plain = float(value) if math.isfinite(value) else repr(value)
        case PurePath():
            plain = safe_text(str(value))
        case bytes() | bytearray() | memoryview():
            plain = f"({len(value)} bytes)"
        case BaseException():
            plain = safe_exception(value)
        case Mapping() if depth < _DEEPEST:
            items = list(value.items())[:_WIDEST]
            plain = {str(key): WITHHELD if _secret(str(key)) else safe(item, depth + 1) for key, item in items}
        case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
            plain = [safe(item, depth + 1) for item in list(value)[:_WIDEST]]
        case _:
            plain = f"<{type(value).__name__}>"
    return plain


def safe_text(text: str) -> str:
    """A text without messages and private keys in it, cut to `LONGEST` characters."""
    if "[AO" in text or "-----BEGIN" in text:
        text = _PEM.sub(WITHHELD, _EXCRYPT.sub(WITHHELD, text[: 4 * LONGEST]))  # the patterns have little to search
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def safe_exception(exc: BaseException) -> str:
    """An exception's kind and text, and those within a group, on one line."""
    text = f"{type(exc).__name__}: {safe_text(str(exc))}".removesuffix(": ")
    if isinstance(exc, BaseExceptionGroup):
        text += " [" + "; ".join(safe_exception(inner) for inner in exc.exceptions[:_WIDEST]) + "]"
    return text


def safe_stack(exc: BaseException) -> list[str]:
    """Where an exception came from, innermost last: places only, since lines of code and locals may hold values."""
    frames = traceback.extract_tb(exc.__traceback__, limit=-12)
    return [f"{'/'.join(PurePath(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}" for frame in frames]


@functools.lru_cache(maxsize=1024)
def _secret(key: str) -> bool:
    words = _WORDS.findall(key)
    return bool(words) and words[-1].lower() in _SECRET_WORDS
