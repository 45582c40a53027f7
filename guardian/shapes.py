"""What may be said of a field without saying its value: its tag, what it is made of, about how long it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

FIELDS: Final = 64  # of a message that are looked at
OTHER_TAG: Final = b"??"  # stands for what is no tag, of which nothing is kept
_TAG: Final = re.compile(rb"[A-Z0-9]{2}")
_LOOKED_AT: Final = 256  # bytes of a value that decide what it is made of
_NOT_DECIMAL: Final = re.compile(rb"[^0-9]")
_NOT_HEX: Final = re.compile(rb"[^0-9A-F]")
_LENGTHS: Final = (
    (1, "1"),
    (8, "2-8"),
    (16, "9-16"),
    (32, "17-32"),
    (64, "33-64"),
    (256, "65-256"),
    (4096, "257-4096"),
)


def shape(value: bytes) -> str:
    """``empty``, ``letter`` (one upper-case letter), or ``decimal``, ``hex``, ``text`` and a class of lengths.

    The classes are wide, so that the length of a password or a PIN is not given away.
    """
    if not value:
        return "empty"
    if is_letter(value):
        return "letter"
    head = value[:_LOOKED_AT]
    if _NOT_DECIMAL.search(head) is None:
        kind = "decimal"
    elif _NOT_HEX.search(head) is None:
        kind = "hex"
    else:
        kind = "text"
    return f"{kind} {next((name for most, name in _LENGTHS if len(value) <= most), 'over 4096')}"


def is_letter(value: bytes) -> bool:
    """Whether it is one upper-case letter, as a device's ``Y`` and ``N`` are."""
    return len(value) == 1 and b"A" <= value <= b"Z"


def fields(message: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Tag and value of each field after the first, of the first `FIELDS`. The message has its brackets.

    Lenient, as devices' answers may be anything: what is no tag comes as `OTHER_TAG`.
    """
    parts = message[1:-1].split(b";", FIELDS + 1)
    for part in parts[1 : FIELDS + 1]:
        if part:
            tag = part[:2]
            yield (tag if _TAG.fullmatch(tag) else OTHER_TAG), part[2:]
