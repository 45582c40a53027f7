"""Events as RFC 5424 messages, framed for TCP by octet counting (RFC 6587). Pure.

Every text becomes printable ASCII: a name from a certificate can hold anything, and must neither end a message nor
look like another in the receiver's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

from guardian.redaction import safe_text

from .chain import moment

if TYPE_CHECKING:
    from guardian.events import Event

_FACILITIES: Final[Mapping[str, int]] = {
    "auth": 4, "authpriv": 10, "audit": 13, **{f"local{number}": 16 + number for number in range(8)},
}  # fmt: skip
# 32473 is the enterprise number for examples (RFC 5612): there is none of our own.
_ELEMENT: Final = "guardian@32473"
_WARNING, _NOTICE, _INFO = 4, 5, 6
_BAD: Final = frozenset({"blocked", "client", "operator", "write", "failover"})  # kinds
_GOOD: Final = frozenset({"ok", "serving", "ready", "up", "logged_out", "sealed", "works again"})


@attrs.frozen(kw_only=True)
class Sender:
    """Who says it."""

    facility: str
    host: str
    process: str


def message(event: Event, sender: Sender) -> bytes:
    """One message as it travels, its length before it."""
    fields = {
        "event": str(event.number), "kind": event.kind.value, "who": event.who, "source": event.source,
        "what": event.what, "result": event.result, "detail": safe_text(event.detail),
    }  # fmt: skip
    shown = {name: _printable(safe_text(text)) for name, text in fields.items()}
    data = "".join(f' {name}="{_escaped(text)}"' for name, text in shown.items() if text)
    source = f" from {shown['source']}" if shown["source"] else ""
    detail = f" ({shown['detail']})" if shown["detail"] else ""
    text = f"{shown['kind']} {shown['what']}: {shown['result']} by {shown['who']}{source}{detail}"
    priority = _FACILITIES[sender.facility] * 8 + _severity(event)
    head = f"<{priority}>1 {moment(event.at)} {_name(sender.host, 255)} guardian {_name(sender.process, 128)}"
    whole = f"{head} {_name(event.kind.value, 32)} [{_ELEMENT}{data}] {text}".encode("ascii")
    return b"%d %b" % (len(whole), whole)


def _severity(event: Event) -> int:
    if event.kind.value in _BAD:
        return _WARNING
    if event.result in _GOOD:
        return _INFO
    return _WARNING if event.kind.value in ("login", "device") or event.result == "failed" else _NOTICE


def _printable(text: str) -> str:
    return "".join(
        letter if " " <= letter <= "~" else letter.encode("ascii", "backslashreplace").decode() if letter > "~"
        else f"\\x{ord(letter):02x}"
        for letter in text
    )  # fmt: skip


def _escaped(text: str) -> str:
    """As the value of a parameter (RFC 5424, 6.3.3)."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _name(text: str, longest: int) -> str:
    """As a word of the header: printable, without spaces."""
    return "".join(letter for letter in text if "!" <= letter <= "~")[:longest] or "-"
