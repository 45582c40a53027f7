"""What the data path knows of a command, ready for one look-up per request, and what it counts for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from config.catalogue import Catalogue, Effect

from .exemplar import Exemplar
from .histogram import Histogram
from .snapshot import CommandSnapshot, Outcome

if TYPE_CHECKING:
    from .device import Device
    from .exchange import Exchange

Latest = tuple[str, "Device | None", int, float]  # client, device, number and clock of a completion
_OK: Final[str] = Outcome.OK.value
OTHER: Final = "other"  # the label of all codes outside the catalogue: clients cannot make new series


class CommandCount:
    """How the exchanges of one command in one group ended, and how long they took."""

    __slots__ = ("duration", "latest", "ok", "others", "shown", "slow", "slow_client", "slow_number", "slowest")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.ok = 0
        self.others: dict[str, int] = {}
        self.duration = Histogram(bounds)
        self.latest: dict[str, Latest] = {}
        self.shown: CommandSnapshot | None = None  # what the last snapshot said
        # The slowest exchange since `exemplar.show_slowest`.
        self.slowest = -1.0  # seconds
        self.slow: Exchange | None = None
        self.slow_client = ""
        self.slow_number = 0

    def failed(self, exchange: Exchange, client: str, number: int, now: float) -> None:
        """One exchange ended in another way than `ok`, which is counted where it happens."""
        outcome = exchange.outcome.value
        self.others[outcome] = self.others.get(outcome, 0) + 1
        self.latest[outcome] = (client, exchange.device, number, now)

    def slower(self, exchange: Exchange, seconds: float, client: str, number: int) -> None:
        """It took longer than `slowest`, the longest until now."""
        self.slowest = seconds
        self.slow = exchange
        self.slow_client = client
        self.slow_number = number


class GroupCommand:
    """One command in one group. Nobody changes it. A plain class: what attrs makes is slow from compiled code."""

    __slots__ = (
        "code",
        "count",
        "deterministic",
        "effect",
        "fences",
        "is_write",
        "known",
        "label",
        "multipart",
        "own_device",
        "private",
        "provable",
        "repeatable",
    )

    def __init__(
        self,
        *,
        code: bytes,
        label: str,
        effect: Effect,
        multipart: bool,
        known: bool,
        count: CommandCount,
        deterministic: bool = True,
    ) -> None:
        """``label``: the code, or `OTHER`. ``deterministic``: two devices give the same right answer."""
        self.code = code
        self.label = label
        self.effect = effect
        self.multipart = multipart
        self.known = known
        self.count = count
        self.deterministic = deterministic
        self.repeatable = effect.repeatable  # may be sent to another device after a failure
        self.own_device = effect is Effect.DEVICE  # its answer belongs to one device: always the same one is asked
        # It must not travel on a shared connection.
        self.private = not known or effect is Effect.SESSION or effect is Effect.PINNED
        self.fences = self.private or effect is Effect.WRITE  # a client's others neither pass it nor are passed by it
        self.is_write = known and effect is Effect.WRITE  # goes the way of writes: in order, the primary first
        self.provable = effect is Effect.READ  # may prove a device in probation: costs nothing if it fails


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
                deterministic=command.deterministic,
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

    def snapshot(self, wall_minus_clock: float = 0.0) -> tuple[CommandSnapshot, ...]:
        """Of those that were seen. ``wall_minus_clock``: what turns the clock's seconds into Unix time."""
        seen: list[CommandSnapshot] = []
        for command in self.all:
            count = command.count
            if count.ok or count.others:
                outcomes = {_OK: count.ok, **count.others}
                # Most commands rest most of the time, and the loop stands still meanwhile.
                if count.shown is None or count.shown.outcomes != outcomes or count.duration.changed:
                    count.shown = CommandSnapshot(
                        command=command.label,
                        outcomes=outcomes,
                        duration=count.duration.snapshot(wall_minus_clock),
                        latest=_latest(command, wall_minus_clock),
                    )
                seen.append(count.shown)
        return tuple(seen)


def _latest(command: GroupCommand, wall_minus_clock: float) -> dict[str, Exemplar]:
    return {
        outcome: Exemplar(
            value=1.0,
            at=clock + wall_minus_clock,
            client=client,
            device="" if device is None else device.name,
            command=command.label,
            outcome=outcome,
            completion=number,
        )
        for outcome, (client, device, number, clock) in command.count.latest.items()
    }
