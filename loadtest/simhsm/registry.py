"""Which function answers which code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from .call import Call

Fields = Mapping[str, str]  # of the answer: value by tag, in order


@attrs.frozen
class Function:
    """`run` gives the answer's fields or raises Refused. A slow one takes milliseconds and runs in a thread."""

    code: str
    run: Callable[[Call], Fields]
    slow: bool = False


FUNCTIONS: Final[dict[str, Function]] = {}


def function(*codes: str, slow: bool = False) -> Callable[[Callable[[Call], Fields]], Callable[[Call], Fields]]:
    """Register what is decorated under its codes."""

    def register(run: Callable[[Call], Fields]) -> Callable[[Call], Fields]:
        for code in codes:
            assert code not in FUNCTIONS, f"{code} is registered twice"
            FUNCTIONS[code] = Function(code, run, slow)
        return run

    return register
