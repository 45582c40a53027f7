"""What we promised to reach, and whether a run shows it. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

import attrs

from .figures import Spread
from .readings import Readings

REFERENCE: Final = "haproxy"
DEEP: Final = "guardian 64x1"  # 64 requests outstanding on one connection per device
SAFE: Final = "guardian 1x8"  # the default: one on each of 8
ROOMY: Final = "guardian 1x12"  # one on each of 12, where a device works on 8 at once


class Bound(enum.Enum):
    """How a value is compared with the target's."""

    AT_MOST = "at most"
    AT_LEAST = "at least"


@attrs.frozen(kw_only=True)
class Target:
    """A promise about one figure of one contender, as a ratio to the reference, or as it stands."""

    scenario: str
    title: str
    figure: str
    contender: str
    bound: Bound
    value: float
    ratio: bool = True

    def allows(self, value: float) -> bool:
        return value <= self.value if self.bound is Bound.AT_MOST else value >= self.value


class Outcome(enum.Enum):
    MET = "met"  # in every round
    MEDIAN = "met by the median"  # and not in every round
    MISSED = "not met"
    UNKNOWN = "not measured"


@attrs.frozen(kw_only=True)
class Verdict:
    target: Target
    measured: Spread | None
    outcome: Outcome


def judge(target: Target, readings: Readings) -> Verdict:
    """By the median of the rounds; what is never to happen must not happen in any round."""
    if target.ratio:
        values = readings.ratios(target.figure, target.contender, REFERENCE)
    else:
        values = list(readings.values(target.figure, target.contender).values())
    measured = Spread.of(values)
    if measured is None:
        return Verdict(target=target, measured=None, outcome=Outcome.UNKNOWN)
    if all(target.allows(value) for value in values):
        outcome = Outcome.MET
    elif target.ratio and target.allows(measured.median):
        outcome = Outcome.MEDIAN
    else:
        outcome = Outcome.MISSED
    return Verdict(target=target, measured=measured, outcome=outcome)


def _cost(contender: str, clients: int, most: float, what: str) -> Target:
    return Target(
        scenario="shared",
        title=f"CPU per request, {what}, {clients} client{'s' if clients > 1 else ''}",
        figure=f"cpu.{clients}",
        contender=contender,
        bound=Bound.AT_MOST,
        value=most,
    )


def _target(
    scenario: str, title: str, figure: str, value: float, *, contender: str = SAFE, least: bool = False
) -> Target:
    bound = Bound.AT_LEAST if least else Bound.AT_MOST
    return Target(scenario=scenario, title=title, figure=figure, contender=contender, bound=bound, value=value)


def _none_lost(title: str, figure: str) -> Target:
    return Target(
        scenario="lost", title=title, figure=figure, contender=SAFE, bound=Bound.AT_MOST, value=0, ratio=False
    )


TARGETS: Final[Sequence[Target]] = (
    _cost(DEEP, 64, 0.9, "`pipeline: 64`"),
    _cost(DEEP, 512, 0.65, "`pipeline: 64`"),
    _cost(DEEP, 8, 1.5, "`pipeline: 64`"),
    _cost(DEEP, 1, 2.0, "`pipeline: 64`"),
    _cost(SAFE, 64, 1.15, "`pipeline: 1`"),
    _cost(SAFE, 8, 1.6, "`pipeline: 1`"),
    _target("sessions", "CPU per request, each client logged in with its own connections, 64 clients",
            "cpu.sessions", 1.6),
    _target("saturation", "throughput, two workers against two threads, `pipeline: 64`, 64 clients", "rate.two", 1.0,
            contender=DEEP, least=True),
    _target("saturation", "the same, `pipeline: 1`", "rate.two", 1.0, least=True),
    _target("slow-device", "p99, one of three devices ten times slower, `pipeline: 64`, 16 clients",
            "p99.slow.16", 0.45, contender=DEEP),
    _target("slow-device", "the same, `pipeline: 1`", "p99.slow.16", 0.45),
    _target("slow-device", "p99, one of three devices ten times slower, `pipeline: 64`, 64 clients",
            "p99.slow.64", 0.45, contender=DEEP),
    _target("slow-device", "the same, `pipeline: 1`", "p99.slow.64", 0.45),
    _target("uneven", "throughput with every third of 96 connections busy, `pipeline: 64`", "rate.uneven", 2.5,
            contender=DEEP, least=True),
    _target("uneven", "the same, `pipeline: 1`, 12 connections for a device that works on 8 at once",
            "rate.uneven", 2.5, contender=ROOMY, least=True),
    _none_lost("reads lost when a device is killed", "lost.killed"),
    _none_lost("reads lost when a device hangs", "lost.hung"),
    _target("connections", "CPU per client connection (full handshake, one request, close)", "cpu.connection", 0.6),
    _target("memory", "memory per idle connection", "memory.idle", 0.4),
    _target("memory", "the same, after a burst of 1,000 handshakes", "memory.burst", 0.4),
    _target("latency", "latency added at 50 % load, p50, `pipeline: 64`", "added.50", 1.5, contender=DEEP),
    _target("latency", "the same, `pipeline: 1`", "added.50", 1.5),
)  # fmt: skip
