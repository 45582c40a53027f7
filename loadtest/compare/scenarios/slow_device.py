"""The tail where one of three devices is ten times slower."""

from __future__ import annotations

from typing import Final

from loadtest.compare.readings import Figure
from loadtest.compare.workshop import Workshop

from .scenario import Scenario

CLIENTS: Final = (16, 64)
DEVICE: Final = ("--delay", "2000", "--at-once", "8")
SLOW: Final = ("--delay", "20000", "--at-once", "8")


def run(workshop: Workshop) -> None:
    with workshop.stage(DEVICE, DEVICE, SLOW) as stage:
        contenders = [*stage.others(), stage.guardian(64), stage.guardian()]
        for clients in CLIENTS:
            what = f"slow device, {clients} clients"
            for measured in workshop.in_turns(what, stage, contenders, workshop.load(clients)):
                workshop.read(f"p99.slow.{clients}", measured, measured.p99 / 1e3)
                workshop.read(f"rate.slow.{clients}", measured, measured.rate)


SCENARIO: Final = Scenario(
    name="slow-device",
    title="One of three devices ten times slower",
    note=(
        "Each device works on eight requests at once; two take 2 ms for each, one takes 20. A closed loop, and"
        " the policy that is the default. With `pipeline: 1` and as many connections as a device works on at once,"
        " each of its places is empty while an answer goes to its client and the next request comes."
    ),
    figures=[
        figure
        for clients in CLIENTS
        for figure in (
            Figure(name=f"p99.slow.{clients}", title=f"p99, {clients} clients", unit="ms"),
            Figure(name=f"rate.slow.{clients}", title=f"requests/s, {clients} clients", unit="/s", digits=0),
        )
    ],
    run=run,
)
