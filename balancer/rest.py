"""A pause of all writes of a group, in every process, so that key tables can be compared. Pure.

Without one, a device that waits to be shown alike would wait for as long as others write without a break, and would
miss their writes meanwhile. It is short, and followed by four times as long without one: writes come first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .exchange import NEVER

if TYPE_CHECKING:
    from .writes import GroupWrites

_LONGEST: Final = 0.5  # seconds; half of what a write may wait, if that is less
_WITHOUT: Final = 4.0  # times as long as it took


class Rest:
    """Of `GroupWrites`. Times are seconds of the group's clock."""

    def __init__(self, writes: GroupWrites) -> None:
        self._writes = writes
        self._wanted: set[object] = set()  # by whom
        self._began = self._until = NEVER
        self._not_before = 0.0

    @property
    def wanted(self) -> bool:
        """Whether no further write may begin."""
        return bool(self._wanted)

    def ask(self, who: object, now: float, queue_timeout: float) -> bool:
        """Whether nothing is written now, which stays so until `end`, but not for ever. Ask again until it is so."""
        writes = self._writes
        if not self._wanted and now < self._not_before:
            return not writes.under_way
        self._wanted.add(who)
        if writes.current is not None:
            return False
        if self._until == NEVER:
            if not writes.behind.journal.take_turn(writes.take_turn):
                return False
            self._began, self._until = now, now + min(_LONGEST, queue_timeout / 2.0)
        return not writes.under_way

    def end(self, who: object, now: float) -> None:
        """They may go on. Nothing happens where they do."""
        if who in self._wanted:
            self._wanted.discard(who)
            if not self._wanted:
                self._go_on(now)

    def expire(self, now: float) -> None:
        if now >= self._until:
            self._wanted.clear()
            self._go_on(now)

    def _go_on(self, now: float) -> None:
        if self._until < NEVER:
            self._not_before = now + _WITHOUT * (now - self._began)
        self._began = self._until = NEVER
        if self._writes.current is None:
            self._writes.behind.journal.give_turn()  # whoever waits for it comes first
            self._writes.pump(now)
