"""What an answer says of its request. Pure; tolerant, as a witness has to be."""

from __future__ import annotations

from typing import Final

from .mix import Template

# What the proxy answers itself, by number, in the words of its default texts. Never the answer's own text: it may be
# anything, and stands in reports.
REFUSALS: Final = {
    b"901": "901 function blocked",
    b"902": "902 no device available",
    b"903": "903 outcome unknown",
    b"904": "904 busy",
    b"905": "905 timed out",
    b"906": "906 malformed message",
    b"907": "907 message too long",
    b"908": "908 shutting down",
    b"909": "909 login lost",
}
WRONG: Final = "wrong answer: it is another request's, or no message"
DIFFERENT: Final = "wrong answer: not its request byte for byte"
UNASKED: Final = "wrong answer: nobody had asked"
WRONGS: Final = frozenset({WRONG, DIFFERENT, UNASKED})
_ERROR_HEAD: Final = b"[AOERRO;"
_NUMBER_DIGITS: Final = 6


def judge(answer: bytes, template: Template, tag: bytes) -> str | None:
    """None for a right answer, else the kind of failure, which tells nothing of the answer's fields."""
    if answer.startswith(template.head):
        if b";" + tag + b";" in answer:
            return None
        found = _field(answer, b"AG")
        return None if found is None or b"AG" + found == tag else WRONG  # a device need not repeat the tag
    if not answer.startswith(_ERROR_HEAD) or not answer.endswith(b"]"):
        return WRONG
    found = _field(answer, b"AG")
    if found is not None and b"AG" + found != tag:
        return WRONG
    number = _field(answer, b"AM") or b""
    if number in REFUSALS:
        return REFUSALS[number]
    known = number.isdigit() and len(number) <= _NUMBER_DIGITS
    return f"device error {number.decode()}" if known else "device error"


def _field(answer: bytes, tag: bytes) -> bytes | None:
    return next((part[2:] for part in answer[1:-1].split(b";") if part[:2] == tag), None)


def logged_in(answer: bytes) -> bool:
    """Whether an answer to RKLG says yes."""
    return answer.startswith(b"[AORKLG;") and _field(answer, b"AN") == b"Y"
