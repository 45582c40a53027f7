"""What all scenarios of one run share, and where they put what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from loadtest.native.programs import Load, Programs

from .contenders import Contender
from .figures import MEDDLING, Bottleneck, Measurement
from .machine import count_cores
from .measure import measure
from .pki import Pki, make_pki
from .processes import Processes
from .readings import Readings
from .stage import Stage, open_stage

COMMANDS: Final = ("ECHO", "RAND", "HMAC", "TPIN")  # all reads: they may be sent again
LATE: Final = 0.01  # share of an open loop's requests sent late; from there on it is worth a word


@attrs.frozen(kw_only=True)
class Effort:
    """How long and how often. Durations in seconds."""

    rounds: int = 3
    seconds: float = 2.0
    warmup: float = 0.4
    connections: int = 1000  # idle ones, for memory

    @classmethod
    def quick(cls) -> Effort:
        """Only to see that it works: no figure means anything."""
        return cls(rounds=1, seconds=0.3, warmup=0.1, connections=40)


@attrs.define(eq=False)
class Workshop:
    """Measures, and keeps readings, runs and remarks."""

    programs: Programs
    folder: Path
    effort: Effort
    progress: Callable[[str], None]
    readings: Readings = attrs.field(factory=Readings)
    runs: list[tuple[str, Measurement]] = attrs.field(factory=list)
    remarks: list[str] = attrs.field(factory=list)
    _pkis: dict[str, Pki] = attrs.field(factory=dict)
    _stages: int = 0

    def pki(self, algorithm: str = "ecdsa") -> Pki:
        """Made once for each kind of key."""
        if algorithm not in self._pkis:
            self._pkis[algorithm] = make_pki(self.folder / f"pki-{algorithm}", algorithm)
        return self._pkis[algorithm]

    @contextmanager
    def stage(self, *devices: tuple[str, ...], algorithm: str = "ecdsa") -> Iterator[Stage]:
        """Three echo devices, or one with each of these options, in a folder of their own; it ends with the context."""
        self._stages += 1
        folder = self.folder / f"stage-{self._stages}"
        folder.mkdir()
        with Processes(folder) as processes:
            yield open_stage(processes, folder, self.programs, self.pki(algorithm), devices or ((), (), ()))

    def load(self, clients: int) -> Load:
        """A closed loop as long as the effort says; evolve it for more."""
        return Load(
            addresses=(),
            clients=clients,
            seconds=self.effort.seconds,
            warmup=self.effort.warmup,
            commands=COMMANDS,
        )

    def measure(self, what: str, stage: Stage, contender: Contender, load: Load, turn: int) -> Measurement:
        """One run, remembered with whatever a reader must know of it. Raises ProgramError, LoadError."""
        run = measure(stage.bench, contender, attrs.evolve(load, seed=turn), turn=turn)
        self.runs.append((what, run))
        cost = "" if run.cost is None else f", {run.cost:.1f} µs/request"
        self.tell(what, turn, contender.name, f"{run.rate:,.0f} requests/s{cost}, p99 {run.p99:,.0f} µs")
        where = f"{what}, {contender.name}, round {turn}"
        if not run.clean:
            self.remarks.append(f"{where}: some answers were wrong, errors or missing; its figures mean nothing")
        if run.bottleneck(count_cores()) is Bottleneck.GENERATOR:
            self.remarks.append(f"{where}: the load generator was the bottleneck, the proxy could do more")
        if run.late_share > LATE:
            self.remarks.append(f"{where}: {run.late_share:.0%} of the requests were sent late by the load generator")
        return run

    def in_turns(self, what: str, stage: Stage, contenders: Sequence[Contender], load: Load) -> Iterator[Measurement]:
        """Every round, and in it one contender after the other: A B C A B C. As `measure`."""
        for turn in range(1, self.effort.rounds + 1):
            for contender in contenders:
                yield self.measure(what, stage, contender, load, turn)

    def read(self, figure: str, run: Measurement, value: float | None) -> None:
        """What a run says; nothing where it was not clean, or has no such value."""
        if run.clean and value is not None:
            self.readings.add(figure, run.contender, run.round, value)

    def tell(self, what: str, turn: int, contender: str, text: str) -> None:
        self.progress(f"{what}, round {turn}, {contender}: {text}")

    def meddling(self) -> str | None:
        """How much other programs worked meanwhile, when that is worth a word."""
        cores = [run.cores(run.others) for _, run in self.runs]
        disturbed = [value for value in cores if value > MEDDLING]
        if not disturbed:
            return None
        return (
            f"other programs used more than {MEDDLING:g} cores in {len(disturbed)} of {len(cores)} runs, "
            f"{max(disturbed):.1f} at most: measure again on a quiet machine"
        )
