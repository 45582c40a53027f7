"""What the command line says of why a device is as it is."""

from __future__ import annotations

from typing import Any

from guardian.commands.slowness import reasons


def device(name: str, p50: float | None, *, reason: str = "", requests: int = 500) -> dict[str, Any]:
    return {"name": name, "reason": reason, "requests": requests, "latency_ms": {"p50": p50, "p99": p50 and 2 * p50}}


def test_a_slow_device_is_said_to_be_slow_though_it_serves() -> None:
    group = {"devices": [device("hsm1", 4.0), device("hsm2", 5.0), device("hsm3", 45.0)]}
    assert reasons(group) == {"hsm1": "", "hsm2": "", "hsm3": "10 times slower than the others"}


def test_it_stands_beside_what_the_device_says_itself() -> None:
    group = {"devices": [device("hsm1", 4.0), device("hsm2", 40.0, reason="drain by the operator")]}
    assert reasons(group)["hsm2"] == "drain by the operator; 10 times slower than the others"


def test_few_answers_say_nothing() -> None:
    group = {"devices": [device("hsm1", 4.0), device("hsm2", 40.0, requests=3), device("hsm3", None)]}
    assert set(reasons(group).values()) == {""}
