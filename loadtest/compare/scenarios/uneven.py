"""Throughput where few of the connections have work."""

from __future__ import annotations

from typing import Final

import attrs

from loadtest.compare.readings import Figure
from loadtest.compare.workshop import Workshop

from .scenario import Scenario

CLIENTS: Final = 96
EVERY: Final = 3
DEVICE: Final = ("--delay", "2000", "--at-once", "8")


def run(workshop: Workshop) -> None:
    load = attrs.evolve(workshop.load(CLIENTS), busy_every=EVERY)
    with workshop.stage(DEVICE, DEVICE, DEVICE) as stage:
        contenders = [*stage.others(), stage.guardian(64), stage.guardian()]
        for turn in range(1, workshop.effort.rounds + 1):
            for contender in contenders:
                measured = workshop.measure("uneven", stage, contender, load, turn)
                workshop.read("rate.uneven", measured, measured.rate)
                workshop.read("p99.uneven", measured, measured.p99 / 1e3)


SCENARIO: Final = Scenario(
    name="uneven",
    title="Every third of 96 connections busy",
    note=(
        f"{CLIENTS} connections, opened one after the other; every third asks in a closed loop, the others are"
        " silent. Three devices that take 2 ms and work on eight requests at once. Balancing connections puts"
        " all the busy ones on one device."
    ),
    figures=[
        Figure(name="rate.uneven", title="requests/s", unit="/s", digits=0),
        Figure(name="p99.uneven", title="p99", unit="ms"),
    ],
    run=run,
)
