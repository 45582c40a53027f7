"""Sets of cells that answer one question each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Final

import attrs

from .board import AT_ONCE
from .cell import Cell, Trouble
from .policies import Name

BOARD: Final = 0.005  # seconds: how old what workers see of each other may be, where they see it late
_SIGHTS: Final = (None, BOARD, AT_ONCE)
_POWERS: Final = (1, 2, 4, 8, 16)


@attrs.frozen(kw_only=True)
class Axes:
    """Every combination of these is a cell. An empty one leaves it to the question."""

    policies: Sequence[Name] = ()
    troubles: Sequence[Trouble] = ()
    devices: Sequence[int] = ()
    workers: Sequence[int] = ()
    sights: Sequence[float | None] = ()

    def over(self, other: Axes) -> Axes:
        """These, and where they are empty the other's."""
        return Axes(**{name: getattr(self, name) or getattr(other, name) for name in attrs.fields_dict(Axes)})

    def cells(self, base: Cell) -> list[Cell]:
        """In the order in which they are read: what is wrong first, the policy last."""
        found: dict[Cell, None] = {}
        for trouble, devices, workers, sight, policy in product(
            self.troubles, self.devices, self.workers, self.sights, self.policies
        ):
            seen = sight if workers > 1 else None
            cell = attrs.evolve(base, policy=policy, trouble=trouble, devices=devices, workers=workers, sight=seen)
            found[cell] = None  # one worker sees itself, however late
        return list(found)


_ONE: Final = Axes(policies=tuple(Name), troubles=(Trouble.SLOW,), devices=(3,), workers=(1,), sights=(None,))
QUESTIONS: Final[Mapping[str, Axes]] = {
    "faults": Axes(troubles=tuple(Trouble)).over(_ONE),
    "devices": Axes(troubles=(Trouble.NONE, Trouble.SLOW), devices=(1, 2, 3, 4, 8, 16)).over(_ONE),
    "workers": Axes(
        policies=(Name.WORK, Name.COUNT),
        troubles=(Trouble.NONE, Trouble.SLOW),
        devices=(4,),
        workers=(1, 2, 4, 8, 16, 32, 64),
        sights=_SIGHTS,
    ),
    "hour": Axes(policies=(Name.WORK,), troubles=(Trouble.FLAPS,)).over(_ONE),
}

DEFAULT: Final = Cell(policy=Name.WORK)
# Where the question asks for something else than the default.
BASES: Final[Mapping[str, Cell]] = {"hour": attrs.evolve(DEFAULT, seconds=3600.0, load=0.1)}
