"""Latency at a load that does not wait for answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from loadtest.compare.contenders import Contender, direct
from loadtest.compare.readings import Figure
from loadtest.compare.stage import Stage
from loadtest.compare.workshop import Workshop

from .scenario import Scenario

CLIENTS: Final = 64
SHARES: Final = (50, 80)  # per cent of what HAProxy does at most


def _most(workshop: Workshop, stage: Stage, contender: Contender) -> float:
    """Requests per second of a closed loop: the middle of three."""
    load = attrs.evolve(workshop.load(CLIENTS), seconds=workshop.effort.seconds / 2)
    return sorted(workshop.measure("saturation", stage, contender, load, turn).rate for turn in (1, 2, 3))[1]


def _measure(workshop: Workshop, stage: Stage, contenders: Sequence[Contender], share: int, rate: float) -> None:
    load = attrs.evolve(workshop.load(CLIENTS), rate=rate)
    for turn in range(1, workshop.effort.rounds + 1):
        floor = None
        for contender in contenders:
            measured = workshop.measure(f"{share} % load", stage, contender, load, turn)
            figures = {"p50": measured.p50, "p99": measured.p99, "p999": measured.p999}
            for name, value in figures.items():
                workshop.read(f"{name}.{share}", measured, value)
            if contender.program is None:
                floor = measured.p50
            elif floor is not None:
                workshop.read(f"added.{share}", measured, max(0.1, measured.p50 - floor))


def run(workshop: Workshop) -> None:
    with workshop.stage() as stage:
        proxies = [*stage.others(), stage.guardian(64), stage.guardian(1)]
        most = _most(workshop, stage, proxies[0])
        for share in SHARES:
            _measure(workshop, stage, [direct(stage.addresses), *proxies], share, most * share / 100)


SCENARIO: Final = Scenario(
    name="latency",
    title="Latency at 50 % and 80 % load",
    note=(
        "An open loop: requests come at random moments at 50 and 80 % of the rate that HAProxy with one"
        f" thread reaches in a closed loop of {CLIENTS} clients in this run, the same rate for all, over"
        f" {CLIENTS} connections. Time counts from when a request was due. `direct` is without a proxy; added"
        " is the p50 less that of `direct` in the same round."
    ),
    figures=[
        Figure(name=f"{name}.{share}", title=f"{title}, {share} %", unit="µs", digits=0)
        for share in SHARES
        for name, title in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"), ("added", "added, p50"))
    ],
    run=run,
)
