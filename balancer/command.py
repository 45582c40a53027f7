"""What the data path knows of a command, ready for one look-up per request, and what it counts for it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from config.catalogue import Catalogue, Effect

from .histogram import Histogram
from .snapshot import CommandSnapshot, Outcome

OTHER = "other"  # the label of all codes outside the catalogue: clients cannot make new series


class CommandCount:
    """How the exchanges of one command in one group ended, and how long they took."""

    __slots__ = ("duration", "ok", "others")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.ok = 0
        self.others: dict[str, int] = {}
        self.duration = Histogram(bounds)

    def failed(self, outcome: Outcome) -> None:
        """One exchange ended in another way than `ok`, which is counted where it happens."""
        self.others[outcome.value] = self.others.get(outcome.value, 0) + 1


@attrs.frozen(kw_only=True, eq=False)
class GroupCommand:
    """One command in one group."""

    code: bytes
    label: str  # the code, or `OTHER`
    effect: Effect
    multipart: bool
    known: bool
    count: CommandCount
    repeatable: bool = attrs.field(init=False)  # may be sent to another device after a failure
    own_device: bool = attrs.field(init=False)  # its answer belongs to one device: always the same one is asked
    private: bool = attrs.field(init=False)  # must not travel on a shared connection
    fences: bool = attrs.field(init=False)  # a client's other requests neither pass it nor are passed by it
    provable: bool = attrs.field(init=False)  # may be what proves a device in probation: costs nothing if it fails

    def __attrs_post_init__(self) -> None:
        put = object.__setattr__
        put(self, "repeatable", self.effect.repeatable)
        put(self, "own_device", self.effect is Effect.DEVICE)
        put(self, "private", not self.known or self.effect in (Effect.SESSION, Effect.PINNED))
        put(self, "fences", self.private or self.effect is Effect.WRITE)
        put(self, "provable", self.effect is Effect.READ)


class CommandTable:
    """All commands of a group by code; what the catalogue does not know shares one entry, `other`."""

    def __init__(self, catalogue: Catalogue, bounds: Sequence[float]) -> None:
        """``bounds``: of the histograms, seconds, rising."""
        self._commands = {
            command.name.encode(): GroupCommand(
                code=command.name.encode(),
                label=command.name,
                effect=command.effect,
                multipart=command.multipart,
                known=True,
                count=CommandCount(bounds),
            )
            for command in catalogue
        }
        self.other = GroupCommand(
            code=b"", label=OTHER, effect=Effect.WRITE, multipart=False, known=False, count=CommandCount(bounds)
        )

    def find(self, code: bytes) -> GroupCommand:
        return self._commands.get(code, self.other)

    @property
    def all(self) -> tuple[GroupCommand, ...]:
        return (*self._commands.values(), self.other)

    def snapshot(self) -> tuple[CommandSnapshot, ...]:
        """Of those that were seen."""
        return tuple(
            CommandSnapshot(
                command=command.label,
                outcomes={Outcome.OK.value: command.count.ok, **command.count.others},
                duration=command.count.duration.snapshot(),
            )
            for command in self.all
            if command.count.ok or command.count.others
        )
