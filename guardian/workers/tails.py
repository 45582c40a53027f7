"""Completions of all workers, for those who look on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from guardian.tailing import KEPT, Backlog, Line, Wanted

from .channel import Channel


class Tails:
    """``workers``: the channels of those that serve."""

    def __init__(self, workers: Callable[[], Iterable[Channel]]) -> None:
        self._workers = workers
        self._numbers = itertools.count(1)
        self._open: dict[int, _Tail] = {}

    def tail(self, wanted: Wanted, wake: Callable[[], None]) -> _Tail:
        """As `Completions.tail`. Lines of several workers come in about their order: ``at`` says when each was."""
        number = next(self._numbers)
        tail = self._open[number] = _Tail(wanted, wake, lambda: self._end(number))
        for channel in self._workers():
            channel.tell("tail", number=number, wanted=wanted)
        return tail

    def introduce(self, channel: Channel) -> None:
        """A worker that is started. Before its channel runs."""
        channel.answer_with("lines", self._lines)

    def welcome(self, channel: Channel) -> None:
        """A worker that is about to serve."""
        for number, tail in self._open.items():
            channel.tell("tail", number=number, wanted=tail.wanted)

    async def _lines(self, number: int, lines: Any, lost: int) -> bool:
        """Whether anybody still looks on."""
        tail = self._open.get(number)
        if tail is None:
            return False
        tail.put(msgspec.convert(lines, list[Line]), lost)
        return True

    def _end(self, number: int) -> None:
        if self._open.pop(number, None) is not None:
            for channel in self._workers():
                channel.tell("end_tail", number=number)


class _Tail(Backlog):
    """Filled by the workers, each of which keeps a `Tail` of its own."""

    def __init__(self, wanted: Wanted, wake: Callable[[], None], end: Callable[[], None]) -> None:
        super().__init__(wake)
        self.wanted = wanted
        self.end = end

    def put(self, lines: Sequence[Line], lost: int) -> None:
        """``lost``: how many more there were before it could tell them."""
        room = max(KEPT - len(self._lines), 0)
        waited = bool(self._lines)
        self._lines.extend(lines[:room])
        self._lost += lost + max(len(lines) - room, 0)
        if self._lines and not waited:
            self._wake()
