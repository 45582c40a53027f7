"""What clients lose when a device is killed, and when it hangs."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from typing import Final

import attrs

from loadtest.compare.contenders import Contender
from loadtest.compare.measure import latest_end, start_load, wait_measuring, wait_result
from loadtest.compare.processes import Program
from loadtest.compare.readings import Figure
from loadtest.compare.stage import Stage
from loadtest.compare.workshop import COMMANDS, Workshop
from loadtest.native.programs import Load, parse_result

from .scenario import Scenario

CLIENTS: Final = 48
DEVICE: Final = ("--delay", "10000")
PATIENCE: Final = 3.0  # seconds after which a client gives a connection up and opens another
SLOW: Final = 0.25  # seconds; an answer that takes longer is affected; in peace they take 10 to 25 ms
HEALTHY: Final = 0.5  # seconds before the fault
AFTERWARDS: Final = {"killed": 3.0, "hung": 9.5}  # seconds from the fault on; hung ones are found late
_SIGNALS: Final = {"killed": signal.SIGKILL, "hung": signal.SIGSTOP}


@attrs.frozen
class _Trial:
    """One contender before its own devices, under load."""

    stage: Stage
    contender: Contender
    generator: Program
    deadline: float

    def finish(self, workshop: Workshop, fault: str, turn: int, broken: float) -> None:
        result = parse_result(wait_result(self.generator, self.deadline))
        self.stage.processes.stop(self.generator)
        late = result.last_affected - broken if result.last_affected is not None else 0.0
        name, readings = self.contender.name, workshop.readings
        readings.add(f"lost.{fault}", name, turn, result.errors + result.wrong)
        readings.add(f"affected.{fault}", name, turn, result.affected)
        readings.add(f"recovery.{fault}", name, turn, max(0.0, late))
        workshop.tell(
            fault, turn, name, f"{result.errors} lost, {result.affected} affected, the last {late:.2f} s after"
        )


def _start(workshop: Workshop, stage: Stage, contender: Contender, seconds: float, turn: int) -> _Trial:
    load = Load(
        addresses=contender.addresses,
        clients=CLIENTS,
        seconds=seconds,
        warmup=max(0.3, workshop.effort.warmup),
        timeout=PATIENCE,
        commands=COMMANDS,
        seed=turn,
        reconnect=True,
        slow=SLOW,
    )
    return _Trial(stage, contender, start_load(stage.bench, load), latest_end(load))


def _one_round(workshop: Workshop, fault: str, turn: int) -> None:
    """All contenders at once, each before devices of its own: nothing here depends on who has how much CPU."""
    with ExitStack() as stack:
        stages = [stack.enter_context(workshop.stage(DEVICE, DEVICE, DEVICE)) for _ in range(3)]
        contenders = [stages[0].haproxy(), stages[1].nginx(), stages[2].guardian()]
        seconds = HEALTHY + AFTERWARDS[fault]
        trials = [
            _start(workshop, stage, contender, seconds, turn)
            for stage, contender in zip(stages, contenders, strict=True)
        ]
        for trial in trials:
            wait_measuring(trial.generator, trial.deadline)
        time.sleep(HEALTHY)
        for stage in stages:
            os.kill(stage.devices[-1].pid, _SIGNALS[fault])
        broken = time.monotonic()
        try:
            for trial in trials:
                trial.finish(workshop, fault, turn, broken)
        finally:
            for stage in stages:
                if fault == "hung":
                    os.kill(stage.devices[-1].pid, signal.SIGCONT)  # so that it hears that it is to end


def run(workshop: Workshop) -> None:
    for fault in _SIGNALS:
        for turn in range(1, workshop.effort.rounds + 1):
            _one_round(workshop, fault, turn)


SCENARIO: Final = Scenario(
    name="lost",
    title="A device is killed, a device hangs",
    note=(
        f"{CLIENTS} clients in a closed loop; three devices that take 10 ms, and after half a second one of"
        f" them gets SIGKILL, or SIGSTOP. Commands are reads. A client gives up after {PATIENCE:g} s without an"
        " answer and opens another connection. Lost: error answers, and requests whose connection ended or"
        f" that were given up. Affected: also those that took more than {SLOW * 1e3:g} ms. Recovery: from the"
        f" fault to the last affected one; the runs end {AFTERWARDS['killed']:g} and {AFTERWARDS['hung']:g} s"
        " after the fault, so a figure near that had not recovered by then. All look at devices every 2 s"
        " (nginx, as it comes, only when a request fails)."
    ),
    figures=[
        figure
        for fault in _SIGNALS
        for figure in (
            Figure(name=f"lost.{fault}", title=f"{fault}: lost", unit="", digits=0),
            Figure(name=f"affected.{fault}", title=f"{fault}: affected", unit="", digits=0),
            Figure(name=f"recovery.{fault}", title=f"{fault}: recovery", unit="s", digits=2),
        )
    ],
    run=run,
)
