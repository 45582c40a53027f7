"""One simulation: what is asked for, and what came of it."""

from __future__ import annotations

import enum
import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final

import attrs

from .board import AT_ONCE, Board
from .clients import Closed, Load, Open
from .device import Character, Fault, ModelDevice
from .policies import Name
from .tally import CURVE, QUANTILES, Tally, quantile
from .timeline import Timeline
from .worker import Worker, settings
from .workload import ALIKE, PAYMENTS, VARIATION, Kind, mean_seconds

MIXES: Final[Mapping[str, Sequence[Kind]]] = {"payments": PAYMENTS, "alike": ALIKE}


class Trouble(enum.Enum):
    """What is wrong with the last device of a group."""

    NONE = "none"
    SLOW = "slow"
    STALLS = "stalls"
    FLAPS = "flaps"
    HANGS = "hangs"
    ZOMBIE = "zombie"
    HELD_BACK = "held-back"
    LICENSED = "licensed"


_SLOW_FACTOR: Final = 10.0
_RATE: Final = 0.2  # of what the device could do: that of one with a limit
TOLD: Final[Mapping[Trouble, str]] = {
    Trouble.NONE: "all devices alike",
    Trouble.SLOW: "one device ten times slower",
    Trouble.STALLS: "one device ten times slower for 10 s a minute",
    Trouble.FLAPS: "one device gone for 5 s in 30",
    Trouble.HANGS: "one device silent for 10 s a minute",
    Trouble.ZOMBIE: "one device answers errors at once, its pings well",
    Trouble.HELD_BACK: "one device with a rate limit that nobody told the proxy",
    Trouble.LICENSED: "one device with a rate limit (rate: is set)",
}


@attrs.frozen(kw_only=True)
class Cell:
    """What is simulated. Times are seconds of virtual time.

    ``load``: of open arrivals, as a share of what the devices can do while the fault shows; ``clients``: of a closed
    loop, instead. ``sight``: how old what workers see of each other is; None: they see nothing of each other.
    """

    policy: Name
    trouble: Trouble = Trouble.NONE
    devices: int = 3
    workers: int = 1
    sight: float | None = None
    load: float = 0.7
    clients: int = 0
    mix: str = "payments"
    seconds: float = 60.0
    warmup: float = 20.0
    seed: int = 1
    parallel: int = 4
    connections: int = 8
    factor: float = _SLOW_FACTOR
    service: float = 0.0  # of each command, where it is not the mix that says so
    variation: float = VARIATION

    @property
    def kinds(self) -> Sequence[Kind]:
        kinds = MIXES[self.mix]
        return [attrs.evolve(kind, seconds=self.service) for kind in kinds] if self.service else kinds

    @property
    def characters(self) -> list[Character]:
        """Of the devices: all are well but the last."""
        return [Character(parallel=self.parallel)] * (self.devices - 1) + [self._last()]

    def _last(self) -> Character:
        """The ailing one."""
        well = Character(parallel=self.parallel)
        slow = attrs.evolve(well, fault=Fault.SLOW, factor=self.factor)
        rate = _RATE * well.capacity(mean_seconds(self.kinds))
        limited = attrs.evolve(well, fault=Fault.HELD_BACK, rate=rate)
        return {
            Trouble.NONE: well,
            Trouble.SLOW: slow,
            Trouble.STALLS: attrs.evolve(slow, episodes=(50.0, 10.0)),
            Trouble.FLAPS: attrs.evolve(well, fault=Fault.DOWN, episodes=(25.0, 5.0)),
            Trouble.HANGS: attrs.evolve(well, fault=Fault.HANGS, episodes=(50.0, 10.0)),
            Trouble.ZOMBIE: attrs.evolve(well, fault=Fault.ZOMBIE),
            Trouble.HELD_BACK: limited,
            Trouble.LICENSED: attrs.evolve(limited, licensed=True),
        }[self.trouble]

    @property
    def capacity(self) -> float:
        """Requests a second that the devices can do together while the fault shows (one alone: while it does not)."""
        seconds = mean_seconds(self.kinds)
        together = sum(character.capacity(seconds) for character in self.characters)
        return together or self.parallel / seconds


@attrs.frozen(kw_only=True)
class Result:
    """What came of a cell. Times are seconds. ``shares``: of the work, by device."""

    cell: Cell
    served: int
    failed: Mapping[str, int]
    mean: float
    quantiles: Mapping[str, float]
    worst: float
    curve: Sequence[float]
    shares: Sequence[float]
    resent: int
    ejections: int

    @property
    def rate(self) -> float:
        """Requests served a second."""
        return self.served / self.cell.seconds

    @property
    def lost(self) -> float:
        """Share of the requests that were not served."""
        failed = sum(self.failed.values())
        return failed / (failed + self.served) if failed else 0.0


def simulate(cell: Cell) -> Result:
    """Run it; the same each time."""
    with _rare_collections():
        return _simulate(cell)


def _simulate(cell: Cell) -> Result:
    timeline = Timeline()
    # Chance is the same for each policy: they see the same arrivals, and differ in nothing but their picks.
    far = [
        ModelDevice(character, timeline, Random(f"{cell.seed} device {number}"), variation=cell.variation)
        for number, character in enumerate(cell.characters)
    ]
    group = settings(cell.policy, far, cell.workers, cell.connections)
    workers = [
        Worker(cell.policy, group, far, cell.kinds, timeline, Random(f"{cell.seed} worker {number}"))
        for number in range(cell.workers)
    ]
    if cell.sight is not None and cell.workers > 1:
        board = Board(cell.sight, timeline, [worker.group.devices for worker in workers])
        if cell.sight == AT_ONCE:
            for worker in workers:
                worker.scheduler.look = board.look
    groups = [worker.group for worker in workers]
    tally = Tally(since=cell.warmup)
    chance = Random(f"{cell.seed} clients")
    load: Load
    if cell.clients:
        load = Closed(groups, cell.clients, cell.kinds, tally, timeline, chance)
    else:
        load = Open(groups, cell.load * cell.capacity, cell.kinds, tally, timeline, chance)
    timeline.run(1.0)  # all are connected by then
    load.start()
    timeline.run(cell.warmup)
    before = [device.served for device in far]
    timeline.run(cell.warmup + cell.seconds)
    served = [device.served - then for device, then in zip(far, before, strict=True)]
    durations = tally.durations()
    return Result(
        cell=cell,
        served=tally.ok,
        failed=tally.failed,
        mean=sum(durations) / len(durations) if durations else 0.0,
        quantiles={f"{100 * share:g}": quantile(durations, share) for share in QUANTILES},
        worst=durations[-1] if durations else 0.0,
        curve=[quantile(durations, share) for share in CURVE],
        shares=[each / max(sum(served), 1) for each in served],
        resent=sum(sum(group.resending.counts.values()) for group in groups),
        ejections=sum(worker.ejections for worker in workers),
    )


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Nearly nothing here is garbage in a circle, and looking for it would cost a tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 10, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
