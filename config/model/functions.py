"""What clients may do."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

import attrs
from msgspec import Meta


class FunctionsMode(enum.Enum):
    ENFORCE = "enforce"
    DETECT = "detect"  # count and log what would be blocked, block nothing
    OFF = "off"


@attrs.frozen(kw_only=True)
class Functions:
    mode: FunctionsMode = FunctionsMode.ENFORCE
    allow: tuple[str, ...] = ("*",)
    block: tuple[str, ...] = ()


class Nesting(enum.Enum):
    """Commands of the KMES Host API that carry commands of their own."""

    RKRL = "RKRL"
    CLCR = "CLCR"


@attrs.frozen(kw_only=True)
class NestedTag:
    """Where a command says which nested command it carries."""

    tag: Annotated[str, Meta(pattern=r"^[A-Z0-9]{2}$", description="a tag: two upper-case letters or digits")]
    value: Literal["whole", "start"] = "whole"  # the value is the nested command's four letters, or begins with them


@attrs.frozen(kw_only=True)
class Match:
    """What of a client's certificate a rule compares; all that is given must agree."""

    common_name: str | None = None
    san: str | None = None
    fingerprint: str | None = None


@attrs.frozen(kw_only=True)
class ClientRule:
    match: Match
    functions: Functions
