"""An emulated HSM: an Excrypt server over TLS with real cryptography behind it, and faults on demand."""

from __future__ import annotations

from .device import SimulatedDevice
from .faults import Fault, FaultKind, FaultMix
from .identity import DEFAULT_DIRECTORY, Directory, Identity, Role
from .journal import Journal, Outcome, Record
from .latency import Constant, Latency, LogNormal, Percentiles, PerCommand, Steps
from .tls import server_context

__all__ = [
    "DEFAULT_DIRECTORY",
    "Constant",
    "Directory",
    "Fault",
    "FaultKind",
    "FaultMix",
    "Identity",
    "Journal",
    "Latency",
    "LogNormal",
    "Outcome",
    "PerCommand",
    "Percentiles",
    "Record",
    "Role",
    "SimulatedDevice",
    "Steps",
    "server_context",
]
