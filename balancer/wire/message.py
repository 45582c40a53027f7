"""A strict view of one request, and the checks of an answer.

``[AO<CODE>;<tag><value>;...;]``: ASCII, ``AO`` first and once, four upper-case letters or digits; two-character tags;
values of printable ASCII without ``;`` ``[`` ``]``; the last ``;`` may be missing. No escaping is known. Lower-case
tags are refused, because a device that ignores case would read a second ``AO`` in them.
"""

from __future__ import annotations

import re
from typing import Final

from .errors import Malformed

# Leaves bytes of fields as they are and changes all others: a table costs half of what leaving bytes out does.
_MARKED: Final = bytes([byte if 0x20 <= byte < 0x7F and byte not in b"[]" else byte ^ 0x80 for byte in range(256)])
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_TAGS: Final = frozenset([bytes((first, second)) for first in _LETTERS for second in _LETTERS])
_PART: Final = re.compile(rb";(?:BN1[;\]]|CH[^;\]])")
_MORE: Final = re.compile(rb";BN1[;\]]")
ERROR_CODE: Final = b"ERRO"
_LEFT: Final = 0x5B  # the bracket
_RIGHT: Final = 0x5D
_CODE_START: Final = 3
_CODE_END: Final = 7
_CODE_LENGTH: Final = 4
_HEADS_KEPT: Final = 4096
_heads: Final[
    dict[bytes, bytes]
] = {}  # "AOECHO" -> "ECHO": first fields found well-formed, so that each is judged once


def parse_request(frame: bytes) -> tuple[bytes, bytes | None]:
    """Check a whole frame; gives its code and the text of its ``AG`` field, None where it has none.

    Raises `Malformed`, whose text holds nothing of the frame. Two ``AG`` fields are refused like two ``AO``: nobody
    could say which of them an answer has to repeat.
    """
    inside = _inside(frame)
    if inside is None:
        raise Malformed(_what_is_wrong(frame))
    fields = inside.split(b";")
    code = _heads.get(fields[0])
    if code is None:
        code = _code_of(fields[0])
        if code is None:
            raise Malformed(_what_is_wrong(frame))
    count = len(fields)
    if count > 1 and not fields[-1]:
        count -= 1  # the last ";" need not be there
    context: bytes | None = None
    for place in range(1, count):
        entry = fields[place]
        tag = entry[:2]
        if tag not in _TAGS:
            raise Malformed(_what_is_wrong(frame))
        if tag == b"AG":
            if context is not None:
                raise Malformed("two AG fields")
            context = entry[2:]
        elif tag == b"AO":
            raise Malformed("two AO fields")
    return code, context


def field(message: bytes, tag: bytes) -> bytes | None:
    """The value of the first field with that tag after the first field, None where there is none."""
    start = message.find(b";" + tag)
    return None if start < 0 else _value_at(message, start)


def nested_code(request: bytes, tag: bytes, whole: bool) -> bytes | None:
    """The command that a well-formed request carries: what the one field of that tag is, or begins with.

    None where it cannot be told: no such field, several, or not four upper-case letters or digits. Several are never
    right, even with one value: which of them a device reads is its secret.
    """
    if request.count(b";" + tag) != 1:
        return None
    value = _value_at(request, request.find(b";" + tag))
    code = value if whole else value[:_CODE_LENGTH]
    return code if _is_code(code) else None


def _is_code(text: bytes) -> bool:
    return len(text) == _CODE_LENGTH and text.isalnum() and text.isascii() and text.upper() == text


def _value_at(message: bytes, start: int) -> bytes:
    """The value of the field whose leading ``;`` is at ``start``."""
    end = message.find(b";", start + 3)
    return message[start + 3 : end if end >= 0 else -1]


def _inside(frame: bytes) -> bytes | None:
    """What stands between the brackets; None where these are not the only ones, or a byte is not printable ASCII."""
    if len(frame) < 2 or frame[0] != _LEFT or frame[-1] != _RIGHT:
        return None
    inside = frame[1:-1]
    return inside if inside.translate(_MARKED) == inside else None


def _code_of(head: bytes) -> bytes | None:
    """The code in a first field, where that is one as it must be, else None."""
    code = head[2:]
    if not (head[:2] == b"AO" and _is_code(code)):
        return None
    if len(_heads) < _HEADS_KEPT:
        _heads[head] = code
    return code


def context_of_refused(frame: bytes) -> bytes | None:
    """The ``AG`` text of a frame that is no message, where that can be said without guessing."""
    clean = _inside(frame) is not None
    return field(frame, b"AG") if clean and frame.count(b";AG") == 1 else None


def _what_is_wrong(frame: bytes) -> str:
    """Which rule a refused frame breaks, for logs: no byte of the frame."""
    if frame.find(b"[", 1) >= 0 or frame.find(b"]", 0, -1) >= 0:
        return "a bracket inside the message"
    if not frame.isascii() or any(byte < 0x20 or byte == 0x7F for byte in frame):
        return "a byte that is not printable ASCII"
    if not frame.startswith(b"[AO"):
        return "AO is not the first field"
    if not re.match(rb"\[AO[A-Z0-9]{4}[;\]]", frame):
        return "the code is not four upper-case letters or digits"
    return "a field without a tag of two upper-case letters or digits"


def answers(answer: bytes, code: bytes, context: bytes | None) -> bool:
    """Whether this can be the answer to a request of that code and ``AG`` text (None: not compared).

    The code must be the request's or ``ERRO``; where the request had ``AG``, the answer's last ``AG`` must be the same:
    it stands near the end, and is looked for from there. Answers are read leniently beyond that: one real answer has
    two ``AO`` fields.
    """
    said = answer[_CODE_START:_CODE_END]
    if (said != code and said != ERROR_CODE) or answer[:_CODE_START] != b"[AO" or not _ends_at(answer, _CODE_END):  # noqa: PLR1714
        return False
    if context is None:
        return True
    start = answer.rfind(b";AG", _CODE_END) + 3
    end = start + len(context)
    return start > 2 and answer[start:end] == context and _ends_at(answer, end)


def _ends_at(message: bytes, place: int) -> bool:
    """Whether a field ends there."""
    end = message[place : place + 1]
    return end == b";" or end == b"]"  # noqa: PLR1714 - a tuple would be made for each call


def is_error(answer: bytes) -> bool:
    """Whether an answer is a general failure, ``[AOERRO;...]``. A letter such as ``BBN`` is none."""
    return answer[_CODE_START:_CODE_END] == ERROR_CODE


def continues(frame: bytes) -> bool:
    """Whether a request of a command in parts is one of several: ``BN1`` announces more, ``CH`` returns a state.

    Any such field counts, not just the first: which of two a device reads is its secret.
    """
    return _PART.search(frame) is not None


def announces_more(frame: bytes) -> bool:
    """Whether a part of a request says that another one follows."""
    return _MORE.search(frame) is not None
