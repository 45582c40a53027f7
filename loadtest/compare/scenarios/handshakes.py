"""Handshakes per second of the proxy's CPU."""

from __future__ import annotations

from typing import Final

from loadtest.compare.readings import Figure
from loadtest.compare.workshop import Workshop

from .churn import churn
from .scenario import Scenario

KEYS: Final = {"rsa": "RSA-2048", "ecdsa": "P-256"}
MODES: Final = {"full": ("--tls", "1.3"), "resumed": ("--tls", "1.2", "--resume")}


def run(workshop: Workshop) -> None:
    for algorithm in KEYS:
        with workshop.stage(algorithm=algorithm) as stage:
            contenders = [*stage.others(tickets=True), stage.guardian()]
            for mode, options in MODES.items():
                for turn in range(1, min(2, workshop.effort.rounds) + 1):
                    for contender in contenders:
                        done = churn(stage, contender, workshop.effort, *options)
                        rate = 1e6 / done.cost if done.cost else 0.0
                        workshop.readings.add(f"{mode}.{algorithm}", contender.name, turn, rate)
                        share = done.resumed / done.connections
                        text = f"{rate:,.0f} handshakes per CPU second, {share:.0%} resumed"
                        workshop.tell(f"{mode}, {KEYS[algorithm]}", turn, contender.name, text)
                        if mode == "resumed" and share < 0.5:
                            workshop.remarks.append(
                                f"{mode}, {KEYS[algorithm]}, {contender.name}: only {share:.0%} were resumed"
                            )


SCENARIO: Final = Scenario(
    name="handshakes",
    title="Handshakes per CPU second",
    note=(
        "Connect, handshake with certificates on both sides, close, without a request; full ones with TLS"
        " 1.3, resumed ones with TLS 1.2, since Guardian gives out no tickets in TLS 1.3. HAProxy and nginx"
        " open a connection to a device for each client, also before it asks, unless it is gone by then; that is"
        " in their figure."
    ),
    figures=[
        Figure(name=f"{mode}.{algorithm}", title=f"{mode}, {key}", unit="/s", digits=0)
        for algorithm, key in KEYS.items()
        for mode in MODES
    ],
    run=run,
)
