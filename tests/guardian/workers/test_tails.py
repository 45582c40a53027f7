"""Completions of all workers: who looks on gets them, as many as wait, and is told of what was lost."""

from __future__ import annotations

from typing import Any

import attrs

from guardian.tailing import KEPT, Line, Wanted
from guardian.workers.tails import Tails


@attrs.define(eq=False)
class FakeChannel:
    """Notes what a worker is told."""

    told: list[tuple[str, int]] = attrs.field(factory=list)
    answer: Any = None

    def tell(self, name: str, *, number: int, **_: object) -> None:
        self.told.append((name, number))

    def answer_with(self, _name: str, answer: Any) -> None:
        self.answer = answer


def lines(count: int) -> list[Line]:
    return [
        Line(1.0, "payments", "vault-1", "127.0.0.1", "ECHO", "hsm1", "ok", 1.0, 0.5, 0, n * 100 + 1)
        for n in range(count)
    ]


async def test_what_nobody_takes_is_counted_and_told() -> None:
    channel, woken = FakeChannel(), []
    tails = Tails(lambda: [channel])  # type: ignore[list-item,return-value]
    tails.introduce(channel)  # type: ignore[arg-type]
    tail = tails.tail(Wanted(), lambda: woken.append(1))
    assert await channel.answer(number=1, lines=lines(KEPT - 1), lost=2)
    assert await channel.answer(number=1, lines=lines(3), lost=0)
    assert woken == [1]
    taken, lost = tail.take(100)
    assert (len(taken), lost) == (100, 0)
    taken, lost = tail.take(KEPT)
    assert (len(taken), lost) == (KEPT - 100, 4)
    assert tail.take(10) == ([], 0)


async def test_a_worker_hears_of_who_looks_on_and_that_they_are_gone() -> None:
    channel, later = FakeChannel(), FakeChannel()
    channels = [channel]
    tails = Tails(lambda: channels)  # type: ignore[arg-type,return-value]
    tails.introduce(later)  # type: ignore[arg-type]
    first, second = tails.tail(Wanted(), lambda: None), tails.tail(Wanted(), lambda: None)
    first.end()
    first.end()
    assert channel.told == [("tail", 1), ("tail", 2), ("end_tail", 1)]
    tails.welcome(later)  # type: ignore[arg-type]
    assert later.told == [("tail", 2)]
    assert not await later.answer(number=1, lines=lines(1), lost=0), "it would go on telling"
    assert second.take(10) == ([], 0)
