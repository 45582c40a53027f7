"""What all scenarios measured: one value for each figure, contender and round. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs

from .figures import Spread


@attrs.frozen(kw_only=True)
class Figure:
    """Something that is measured of each contender."""

    name: str  # one of its kind in all scenarios
    title: str
    unit: str
    digits: int = 1


@attrs.define(eq=False)
class Readings:
    """Values by figure, contender and round, in the order in which figures and contenders came first."""

    _values: dict[str, dict[str, dict[int, float]]] = attrs.field(factory=dict)

    def add(self, figure: str, contender: str, turn: int, value: float) -> None:
        self._values.setdefault(figure, {}).setdefault(contender, {})[turn] = value

    def __contains__(self, figure: str) -> bool:
        return figure in self._values

    def contenders(self, figures: Sequence[str]) -> list[str]:
        """Who has a value of any of them."""
        return list(dict.fromkeys(name for figure in figures for name in self._values.get(figure, ())))

    def values(self, figure: str, contender: str) -> Mapping[int, float]:
        """By round; empty when nothing was measured."""
        return self._values.get(figure, {}).get(contender, {})

    def spread(self, figure: str, contender: str) -> Spread | None:
        return Spread.of(list(self.values(figure, contender).values()))

    def ratios(self, figure: str, contender: str, reference: str) -> list[float]:
        """Each round's value over the reference's of the same round.

        Rounds are compared each for itself: the machine changes from minute to minute by more than they differ. Those
        that one of them lacks are left out, and those in which the reference has 0.
        """
        others = self.values(figure, reference)
        return [value / others[turn] for turn, value in self.values(figure, contender).items() if others.get(turn)]

    def ratio(self, figure: str, contender: str, reference: str) -> Spread | None:
        return Spread.of(self.ratios(figure, contender, reference))

    def all(self) -> Iterator[tuple[str, str, int, float]]:
        """Figure, contender, round and value."""
        for figure, contenders in self._values.items():
            for contender, rounds in contenders.items():
                for turn, value in rounds.items():
                    yield figure, contender, turn, value
