"""Latencies and fault schedules as people write them on a command line.

All functions raise ValueError that says what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from config.units import parse_duration

from .faults import STANDING, UNTOUCHED, Fault, FaultKind, FaultMix, Faulty
from .latency import NO_TIME, Constant, Latency, LogNormal, Percentiles, PerCommand, Steps
from .schedule import Action, Event

LATENCY_FORM: Final = (
    "2ms, lognormal:2ms,p99=20ms, percentiles:p50=2ms,p90=5ms,p99=20ms, or 20ms->2ms@10s (from 10 s on)"
)
FAULT_FORM: Final = (
    "KIND@START or KIND@START+DURATION, such as hang@10s+5s, reset=5%@0s, late=50ms@3s+1s or kill@10s+5s"
)

_COMMAND: Final = re.compile(r"([A-Z0-9]{4})=(.+)")
_ACTIONS: Final = frozenset(action.value for action in Action if action is not Action.FAULT)
_EVENT: Final = re.compile(r"([a-z_-]+)(?:=([^@]+))?@([^+]+)(?:\+(.+))?")
_SHARE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")


def parse_latencies(texts: Iterable[str]) -> Latency:
    """Several: ``CODE=LATENCY`` for single functions, and one without a code for all others."""
    otherwise: Latency = NO_TIME
    commands: dict[str, Latency] = {}
    for text in texts:
        if found := _COMMAND.fullmatch(text):
            commands[found[1]] = parse_latency(found[2])
        else:
            otherwise = parse_latency(text)
    return PerCommand(commands, otherwise) if commands else otherwise


def parse_latency(text: str) -> Latency:
    first, *others = text.split("->")
    steps: list[tuple[float, Latency]] = [(0.0, _one_latency(first))]
    for other in others:
        latency, at, start = other.rpartition("@")
        if not at:
            raise ValueError(f"'{other}' needs its start, such as 2ms@10s")
        steps.append((_duration(start), _one_latency(latency)))
    if [start for start, _ in steps] != sorted(start for start, _ in steps):
        raise ValueError("the starts must rise")
    return Steps(steps) if others else steps[0][1]


def _one_latency(text: str) -> Latency:
    kind, colon, rest = text.partition(":")
    if not colon:
        return Constant(_duration(text))
    if kind == "lognormal" and (found := re.fullmatch(r"([^,=]+),p99=([^,=]+)", rest)):
        median, p99 = _duration(found[1]), _duration(found[2])
        if not 0 < median <= p99:
            raise ValueError("the median must be more than 0 and at most the p99")
        return LogNormal(median, p99)
    if kind == "percentiles":
        points = [re.fullmatch(r"p([0-9]{1,2}(?:\.[0-9]+)?)=(.+)", part) for part in rest.split(",")]
        pairs = [(float(point[1]), _duration(point[2])) for point in points if point]
        if len(pairs) == len(points) and pairs == sorted(pairs):
            return Percentiles(pairs)
    raise ValueError(f"a latency is {LATENCY_FORM}")


def parse_event(text: str) -> Event:
    """One thing that happens to a device, seconds after it is ready, and how long it lasts."""
    found = _EVENT.fullmatch(text)
    if found is None:
        raise ValueError(f"a fault is {FAULT_FORM}")
    name, option = found[1].replace("-", "_"), found[2]
    start, lasting = _duration(found[3]), _duration(found[4]) if found[4] else None
    if name in _ACTIONS:
        if option:
            raise ValueError(f"{name} takes no value")
        return Event(start, lasting, Action(name))
    try:
        kind = FaultKind(name)
    except ValueError:
        names = [kind.value for kind in FaultKind] + [action.value for action in Action if action is not Action.FAULT]
        raise ValueError(f"no fault '{found[1]}'; there are {', '.join(names)}") from None
    return Event(start, lasting, Action.FAULT, _fault(kind, option))


def _fault(kind: FaultKind, option: str | None) -> Faulty:
    if option is not None and (share := _SHARE.fullmatch(option)):
        if kind in STANDING or float(share[1]) > 100:
            raise ValueError(f"{kind.value} cannot strike {option} of requests")
        mix = FaultMix()
        mix.add(kind, float(share[1]) / 100)
        return mix
    delayed = kind in (FaultKind.LATE, FaultKind.REPEAT)
    if option is not None and not delayed:
        raise ValueError(f"{kind.value} takes a share such as 5%, or nothing")
    usual = 1.0 if kind is FaultKind.LATE else 0.001
    return Fault(kind=kind, delay=_duration(option) if option else usual, executed=kind not in UNTOUCHED)


def parse_error(text: str) -> tuple[int, str]:
    """An error answer's number and text, such as ``20:LOGIN REQUIRED``."""
    found = re.fullmatch(r"([0-9]{1,5}):([ -:<-Z\\^-~]{1,80})", text)  # printable, and none of ; [ ]
    if found is None:
        raise ValueError("an error answer is NUMBER:TEXT, such as 20:LOGIN REQUIRED")
    return int(found[1]), found[2]


def _duration(text: str) -> float:
    """As in a configuration, but 0s too."""
    return parse_duration(text.strip())
