"""One Excrypt message as a device reads and writes it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(eq=False)
class Message:
    """A request: its code, and its fields by tag. Of a tag that stands twice, the last value."""

    code: str  # empty when the bytes are no message
    fields: Mapping[str, str]
    echo: str | None  # the value of AG


def parse(piece: bytes) -> Message:
    """Read a message tolerantly. What is no message at all comes out with an empty code; nothing is raised."""
    if not (piece.startswith(b"[AO") and piece.endswith(b"]")):
        return Message("", {}, None)
    fields = {part[:2]: part[2:] for part in piece[1:-1].decode("latin-1").split(";") if part}
    return Message(fields["AO"], fields, fields.get("AG"))


def compose(code: str, fields: Mapping[str, str], echo: str | None) -> bytes:
    """An answer; ``AG`` comes last, and only where the request had one."""
    body = "".join([f"{tag}{value};" for tag, value in fields.items()])
    tail = "" if echo is None else f"AG{echo};"
    return f"[AO{code};{body}{tail}]".encode("latin-1")


def compose_error(number: int, tag: str, text: str, echo: str | None) -> bytes:
    """``[AOERRO;AM<number>;AN<tag>;BB<TEXT>;AG<echo>;]``."""
    return compose("ERRO", {"AM": str(number), "AN": tag, "BB": text}, echo)
