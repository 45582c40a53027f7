"""Which function answers which code, on an HSM and on a KMES."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from .call import Call

Fields = Mapping[str, str]  # of the answer: value by tag, in order


class Kind(enum.Enum):
    """What a device is."""

    HSM = "hsm"
    KMS = "kms"  # a KMES: its Host API, usually on port 2001


@attrs.frozen
class Function:
    """`run` gives the answer's fields or raises Refused. A slow one takes milliseconds and runs in a thread."""

    code: str
    run: Callable[[Call], Fields]
    slow: bool = False


FUNCTIONS: Final[dict[str, Function]] = {}  # of an HSM
HOST_API: Final[dict[str, Function]] = {}  # of a KMES
NESTED: Final[dict[str, Function]] = {}  # commands of a KMES that travel inside another, by their own name
BY_KIND: Final[Mapping[Kind, Mapping[str, Function]]] = {Kind.HSM: FUNCTIONS, Kind.KMS: HOST_API}


def function(
    *codes: str, slow: bool = False, into: dict[str, Function] = FUNCTIONS
) -> Callable[[Callable[[Call], Fields]], Callable[[Call], Fields]]:
    """Register what is decorated under its codes."""

    def register(run: Callable[[Call], Fields]) -> Callable[[Call], Fields]:
        for code in codes:
            assert code not in into, f"{code} is registered twice"
            into[code] = Function(code, run, slow)
        return run

    return register
