"""The rows of the comparison, in the order in which they run and are told."""

from collections.abc import Sequence
from typing import Final

from . import (
    connections,
    handshakes,
    interpreter,
    latency,
    lost,
    memory,
    saturation,
    sessions,
    shared,
    slow_device,
    uneven,
)
from .scenario import Scenario

SCENARIOS: Final[Sequence[Scenario]] = (
    shared.SCENARIO,
    sessions.SCENARIO,
    saturation.SCENARIO,
    latency.SCENARIO,
    slow_device.SCENARIO,
    uneven.SCENARIO,
    lost.SCENARIO,
    connections.SCENARIO,
    handshakes.SCENARIO,
    memory.SCENARIO,
    interpreter.SCENARIO,
)

__all__ = ["SCENARIOS", "Scenario"]
