"""CPU per request where clients share connections to devices."""

from __future__ import annotations

from typing import Final

from loadtest.compare.readings import Figure
from loadtest.compare.workshop import Workshop

from .scenario import Scenario

CLIENTS: Final = (1, 8, 64, 512)


def run(workshop: Workshop) -> None:
    with workshop.stage() as stage:
        contenders = [*stage.others(), stage.guardian(64), stage.guardian(1)]
        for clients in CLIENTS:
            for measured in workshop.in_turns(f"{clients} clients", stage, contenders, workshop.load(clients)):
                workshop.read(f"cpu.{clients}", measured, measured.cost)


SCENARIO: Final = Scenario(
    name="shared",
    title="CPU per request, shared connections",
    note=(
        "Three echo devices that answer at once; each client has one request outstanding (a closed loop)."
        " 64x1 has 64 requests outstanding on one connection per device, 1x8 one on each"
        " of 8, the default."
    ),
    figures=[
        Figure(name=f"cpu.{clients}", title=f"{clients} client{'s' if clients > 1 else ''}", unit="µs")
        for clients in CLIENTS
    ],
    run=run,
)
