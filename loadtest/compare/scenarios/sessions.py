"""CPU per request where each client is logged in and has connections of its own."""

from __future__ import annotations

from typing import Final

import attrs

from loadtest.compare.readings import Figure
from loadtest.compare.workshop import Workshop

from .scenario import Scenario

CLIENTS: Final = 64


def run(workshop: Workshop) -> None:
    load = workshop.load(CLIENTS)
    load = attrs.evolve(load, login=True, warmup=load.warmup * 4)
    with workshop.stage() as stage:
        for measured in workshop.in_turns("sessions", stage, [*stage.others(), stage.guardian()], load):
            workshop.read("cpu.sessions", measured, measured.cost)


SCENARIO: Final = Scenario(
    name="sessions",
    title="CPU per request, every client logged in",
    note=(
        f"{CLIENTS} clients, each logged in as another user (RKLG), so that Guardian gives each connections of"
        " its own on every device and repeats the login there. Logins are before the measured time."
    ),
    figures=[Figure(name="cpu.sessions", title=f"{CLIENTS} clients", unit="µs")],
    run=run,
)
