"""CPU of a client connection with one request."""

from __future__ import annotations

from typing import Final

from loadtest.compare.readings import Figure
from loadtest.compare.workshop import Workshop

from .churn import churn
from .scenario import Scenario


def run(workshop: Workshop) -> None:
    with workshop.stage() as stage:
        contenders = [*stage.others(), stage.guardian()]
        for turn in range(1, workshop.effort.rounds + 1):
            for contender in contenders:
                done = churn(stage, contender, workshop.effort, "--request")
                workshop.readings.add("cpu.connection", contender.name, turn, done.cost)
                workshop.tell("connection", turn, contender.name, f"{done.cost:,.0f} µs")


SCENARIO: Final = Scenario(
    name="connections",
    title="CPU per client connection",
    note=(
        "Full handshake (TLS 1.3, P-256, certificates on both sides), one request, close, one connection"
        " after the other. HAProxy and nginx open a connection to a device for each."
    ),
    figures=[Figure(name="cpu.connection", title="CPU per connection", unit="µs", digits=0)],
    run=run,
)
