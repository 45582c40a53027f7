"""The kinds of values that sections are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
from msgspec import Meta

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$",
        description="letters, digits, _ . and -, starting with a letter or digit, at most 63 characters",
    ),
]
Tag = Annotated[str, Meta(pattern=r"^[A-Z0-9]{2}$", description="two upper-case letters or digits")]
# `extra` says how the file writes the number: a duration (`10s`), a size (`256KiB`) or a rate (`2000/s`).
Seconds = Annotated[float, Meta(gt=0, extra={"unit": "duration"})]
SecondsOrZero = Annotated[float, Meta(ge=0, extra={"unit": "duration"})]
Bytes = Annotated[int, Meta(ge=1, extra={"unit": "size"})]
Rate = Annotated[float, Meta(ge=1, extra={"unit": "rate"})]  # per second; less than one is used up by pings
Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Code = Annotated[str, Meta(pattern=r"^[A-Z0-9]{4}$", description="four upper-case letters or digits")]


@attrs.frozen(kw_only=True)
class Bind:
    """An address to listen on: ``host:port``, ``[v6]:port``; port 0 lets the kernel choose."""

    host: str
    port: Port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen(kw_only=True)
class UnixBind:
    """A socket in the file system to listen on: ``unix:/run/guardian/admin.sock``."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


@attrs.frozen(kw_only=True)
class FieldValue:
    """A field of an answer and the value it has to have."""

    tag: Tag
    """two upper-case letters or digits"""
    value: Annotated[
        str,
        Meta(pattern=r"^[ -:<-Z\\^-~]{0,64}$", description="at most 64 printable ASCII characters, without ; [ and ]"),
    ]
    """what the field has to hold"""
