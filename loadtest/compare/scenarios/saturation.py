"""The most that two workers and two threads do."""

from __future__ import annotations

from typing import Final

from loadtest.compare.readings import Figure
from loadtest.compare.workshop import Workshop

from .scenario import Scenario

CLIENTS: Final = 64
WORKERS: Final = 2


def run(workshop: Workshop) -> None:
    with workshop.stage() as stage:
        contenders = [
            *stage.others(threads=WORKERS),
            stage.guardian(64, workers=WORKERS),
            stage.guardian(1, workers=WORKERS),
        ]
        for measured in workshop.in_turns("two workers", stage, contenders, workshop.load(CLIENTS)):
            workshop.read("rate.two", measured, measured.rate)
            workshop.read("cpu.two", measured, measured.cost)


SCENARIO: Final = Scenario(
    name="saturation",
    title="Throughput, two workers against two threads",
    note=(
        f"{CLIENTS} clients in a closed loop; `workers: 2`, HAProxy with `nbthread 2`, nginx with two workers."
        " Devices and load share the cores, so this is no capacity: whoever leaves more of them to the others"
        " is asked more."
    ),
    figures=[
        Figure(name="rate.two", title="requests/s", unit="/s", digits=0),
        Figure(name="cpu.two", title="CPU per request", unit="µs"),
    ],
    run=run,
)
