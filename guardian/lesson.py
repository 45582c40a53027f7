"""Which lesson of `guardian learn` is on, how far it is, and how it ended: of one process or of several. Pure."""

from __future__ import annotations

import enum
from collections.abc import Callable, Container, Mapping
from typing import Final

SHORTEST: Final = 1.0  # seconds
LONGEST: Final = 86_400.0


class LessonState(enum.Enum):
    NONE = "none"  # nothing was learned yet
    WATCHING = "watching"
    DONE = "done"
    FAILED = "failed"  # by a fault of ours; what was learned until then is there


class LessonRunning(Exception):  # noqa: N818 - named for what stands in the way
    """Somebody is learning already."""


class Course:
    """The lesson that is on, or was the last; one at a time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock``: seconds."""
        self._clock = clock
        self.state = LessonState.NONE
        self._number = 0
        self._seconds = 0.0
        self._began = self._until = self._ended = 0.0

    def begin(self, group: str | None, groups: Container[str], seconds: float) -> None:
        """``group``: None for all. Raises `LessonRunning`, or LookupError for no such group."""
        if self.watching:
            raise LessonRunning(f"somebody is learning already, for {self.left:.0f} s more")
        if group is not None and group not in groups:
            raise LookupError(f"there is no group {group}")
        self.state = LessonState.WATCHING
        self._number += 1
        self._seconds = seconds
        self._began = self._ended = self._clock()
        self._until = self._began + seconds

    def cut_short(self) -> None:
        """Its time is over now."""
        self._until = self._clock()

    def end(self, state: LessonState, at: float) -> None:
        """``at``: when the watching ended, seconds."""
        self.state, self._ended = state, at

    @property
    def watching(self) -> bool:
        return self.state is LessonState.WATCHING

    @property
    def ended(self) -> bool:
        return self.state in (LessonState.DONE, LessonState.FAILED)

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.0, self._until - self._clock()) if self.watching else 0.0

    def facts(self, requests: int) -> Mapping[str, object]:
        """How far it is, as an operator is told; ``requests``: that were looked at."""
        until = min(self._clock(), self._until) if self.watching else self._ended
        return {
            "state": self.state.value,
            "number": self._number,
            "for": self._seconds,
            "watched": round(until - self._began, 3),
            "left": round(self.left, 3),
            "requests": requests,
        }
