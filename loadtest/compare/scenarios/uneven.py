"""Throughput where few of the connections have work."""

from __future__ import annotations

from typing import Final

import attrs

from loadtest.compare.readings import Figure
from loadtest.compare.workshop import Workshop

from .scenario import Scenario

CLIENTS: Final = 96
EVERY: Final = 3
AT_ONCE: Final = 8  # requests that a device works on
MORE: Final = 12  # connections to each, so that one is at hand where another carries an answer away
DEVICE: Final = ("--delay", "2000", "--at-once", str(AT_ONCE))


def run(workshop: Workshop) -> None:
    load = attrs.evolve(workshop.load(CLIENTS), busy_every=EVERY)
    with workshop.stage(DEVICE, DEVICE, DEVICE) as stage:
        contenders = [*stage.others(), stage.guardian(64), stage.guardian(), stage.guardian(connections=MORE)]
        for measured in workshop.in_turns("uneven", stage, contenders, load):
            workshop.read("rate.uneven", measured, measured.rate)
            workshop.read("p99.uneven", measured, measured.p99 / 1e3)


SCENARIO: Final = Scenario(
    name="uneven",
    title="Every third of 96 connections busy",
    note=(
        f"{CLIENTS} connections, opened one after the other; every third asks in a closed loop, the others are"
        " silent. Three devices that take 2 ms and work on eight requests at once. Balancing connections puts"
        " all the busy ones on one device."
        f" 1x{AT_ONCE} has just as many connections to a device, so each of its places is empty while an answer goes to"
        f" its client and the next request comes; 1x{MORE} has {MORE} connections for a device that works on"
        f" {AT_ONCE} at once, as an operator should give it (HAProxy opens one for each client, {CLIENTS // 3} to"
        " each device)."
        f" The target for `pipeline: 1` is judged on 1x{MORE}."
    ),
    figures=[
        Figure(name="rate.uneven", title="requests/s", unit="/s", digits=0),
        Figure(name="p99.uneven", title="p99", unit="ms"),
    ],
    run=run,
)
