"""What is in a slot of the key table, as far as its owner can know: pure, from the client's journal alone."""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Iterable

import attrs

from .histories import Asked, Does

Key = bytes | None  # a slot's key; None is empty


@attrs.frozen
class Span:
    """From `at` on the slot has one of `keys`."""

    at: float
    keys: frozenset[Key]


@attrs.define(eq=False)
class SlotLife:
    """The spans of one slot, in order. What was never answered may happen until ``doubt`` seconds later."""

    doubt: float
    spans: list[Span] = attrs.field(factory=lambda: [Span(float("-inf"), frozenset({None}))])

    def during(self, start: float, end: float) -> frozenset[Key]:
        """All that may be in the slot at some moment between the two, both included."""
        found: frozenset[Key] = frozenset()
        for number, span in enumerate(self.spans):
            ends = self.spans[number + 1].at if number + 1 < len(self.spans) else float("inf")
            if span.at <= end and ends > start:
                found |= span.keys
        return found

    @property
    def last(self) -> frozenset[Key]:
        return self.spans[-1].keys


def slot_lives(asked: Iterable[Asked], doubt: float) -> dict[int, SlotLife]:
    """The life of every slot that was written to. One write at a time is outstanding for a slot."""
    lives: dict[int, SlotLife] = defaultdict(lambda: SlotLife(doubt))
    ghosts: dict[int, list[tuple[float, Key]]] = defaultdict(list)  # with the time until which they may appear
    for one in sorted((one for one in asked if one.does is Does.WRITE and one.slot is not None), key=lambda x: x.at):
        assert one.slot is not None
        spans = lives[one.slot].spans
        before = spans[-1].keys
        spans.append(Span(one.at, before | {one.key}))
        if one.answered is None:
            ghosts[one.slot].append((one.at + doubt, one.key))
            continue
        haunting = frozenset(key for end, key in ghosts[one.slot] if end > one.answered)
        spans.append(Span(one.answered, _afterwards(one, before) | haunting))
    return lives


def _afterwards(one: Asked, before: frozenset[Key]) -> frozenset[Key]:
    if one.good:
        return frozenset({one.key})
    if one.refused:
        return before
    if one.error == 35 and one.key is None:
        return frozenset({None})  # there was nothing to delete
    if one.error is not None and one.error < 900:
        return before  # the device refused it
    return before | {one.key}


def right_answers(asked: Asked, keys: Iterable[Key]) -> set[bytes]:
    """What a device may answer a read of the slot, for each key that may be in it."""
    mark = asked.mark or b""
    return {
        b"[AOERRO;AM35;ANAR;BBKEY SLOT EMPTY;AG%b;]" % mark
        if key is None
        else b"[AOHMAC;CF%b;AG%b;]" % (hmac.digest(key, asked.data, "sha256").hex().upper().encode(), mark)
        for key in keys
    }
