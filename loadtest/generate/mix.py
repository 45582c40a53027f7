"""Requests of several kinds by weight, each with a tag of its own. Pure, with a seeded Random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs

from .scenario import Command

if TYPE_CHECKING:
    from random import Random

_DRAWN: Final = 1024  # at once: a draw by itself costs several times as much
_SIZES: Final = 64  # fillings made before the run, to draw from
_DIGITS: Final = b"0123456789ABCDEF" * 16
_TAG: Final = 13  # bytes of a tag: AG, two hex digits for the process, a point, eight for the request


@attrs.frozen(eq=False)
class Template:
    """A kind of request of a size, but for its tag."""

    label: str
    head: bytes  # what a right answer begins with too: "[AOECHO;"
    tail: bytes  # ";" and the fields behind the tag, to the bracket

    def request(self, tag: bytes) -> bytes:
        """``tag``: such as ``AG00.0000001f``."""
        return self.head + tag + self.tail


def templates(command: Command, random: Random) -> list[Template]:
    """One, or as many as there are sizes to draw from."""
    head = f"[AO{command.command};".encode()
    fields = command.fields if not command.fields or command.fields.endswith(";") else f"{command.fields};"
    body = b";" + fields.encode()
    if command.size is None:
        return [Template(command.label, head, body + b"]")]
    largest = command.size_to if command.size_to is not None else command.size
    sizes = (
        [command.size] if largest == command.size else [random.randint(command.size, largest) for _ in range(_SIZES)]
    )
    fixed = len(head) + _TAG + len(body) + len(b"BO;]")
    return [Template(command.label, head, body + b"BO" + _filling(size - fixed) + b";]") for size in sizes]


def _filling(size: int) -> bytes:
    return (_DIGITS * (size // len(_DIGITS) + 1))[: max(0, size)]


class Mix:
    """Draws the next request; each draw has a tag that no other of the run has."""

    def __init__(self, commands: Sequence[Command], random: Random, process: int) -> None:
        self._random = random
        self._all: list[Template] = []
        self._weights: list[float] = []
        for command in commands:
            made = templates(command, random)
            self._all += made
            self._weights += [command.weight / len(made)] * len(made)
        self._drawn: list[Template] = []
        self._prefix = f"AG{process:02x}.".encode()
        self._made = 0

    def draw(self) -> tuple[Template, bytes]:
        """A template and a tag for it."""
        if not self._drawn:
            self._drawn = self._random.choices(self._all, self._weights, k=_DRAWN)
        self._made += 1
        return self._drawn.pop(), b"%b%08x" % (self._prefix, self._made)
