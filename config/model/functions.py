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
    """block; or only count and log what would be blocked; or nothing"""
    allow: tuple[str, ...] = ("*",)
    """what is allowed"""
    block: tuple[str, ...] = ()
    """what is not; wins over `allow`"""


class Nesting(enum.Enum):
    """Commands of the KMES Host API that carry commands of their own."""

    RKRL = "RKRL"
    CLCR = "CLCR"


@attrs.frozen(kw_only=True)
class NestedTag:
    """Where a command says which nested command it carries."""

    tag: Annotated[str, Meta(pattern=r"^[A-Z0-9]{2}$", description="a tag: two upper-case letters or digits")]
    """the tag whose value is the nested command; not `AO` or `AG`"""
    value: Literal["whole", "start"] = "whole"
    """the nested command is the whole value, or its first four characters"""


@attrs.frozen(kw_only=True)
class Match:
    """What of a client's certificate a rule compares; all that is given must agree."""

    common_name: str | None = None
    """the Common Name of the client's certificate"""
    san: str | None = None
    """one of its alternative names"""
    fingerprint: str | None = None
    """SHA-256 of it, `sha256:` and 64 hex digits"""


@attrs.frozen(kw_only=True)
class ClientRule:
    match: Match
    """which clients"""
    functions: Functions
    """what they may do"""
