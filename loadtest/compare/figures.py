"""What was measured, and the arithmetic from there to the table. Pure."""

from __future__ import annotations

import enum
import statistics
from collections.abc import Callable, Sequence
from typing import Final

import attrs

SATURATED: Final = 0.93  # share of the time in which a program of one thread had work to do: it kept others waiting
ALL_BUSY: Final = 0.95  # of all cores
MEDDLING: Final = 0.15  # cores used by programs that are not of this comparison; from there on it is worth a word


class Bottleneck(enum.Enum):
    """What kept the throughput where it was."""

    PROXY = "proxy"  # it never had nothing to do: this is the most it does on its share of this machine
    GENERATOR = "generator"  # the load generator had nothing left: the proxy could do more
    DEVICE = "device"  # a device had nothing left: the proxy could do more
    MACHINE = "machine"  # all cores were busy, no single program was
    CLIENTS = "clients"  # nothing was: this few clients, waiting for answers, ask no more


@attrs.frozen(kw_only=True)
class CpuUse:
    """Of one program within the measured window, in seconds."""

    used: float  # user and system, all its processes
    wanted: float  # how long its main thread had work to do: it ran, or waited for a core


@attrs.frozen(kw_only=True)
class Measurement:
    """One run of one contender."""

    contender: str
    clients: int
    round: int
    requests: int
    errors: int
    wrong: int
    lost_connections: int
    late: int = 0  # of an open loop: sent late by the load generator's own fault
    seconds: float
    p50: float  # microseconds, as the clients saw it
    p99: float
    p999: float
    proxy: CpuUse | None  # None without one
    generator: CpuUse
    devices: Sequence[CpuUse]
    others: float  # CPU seconds of everything else on the machine

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def cost(self) -> float | None:
        """Microseconds of the proxy's CPU per request; None without a proxy or without an answer."""
        if self.proxy is None or self.requests == 0:
            return None
        return self.proxy.used / self.requests * 1e6

    @property
    def clean(self) -> bool:
        return not (self.errors or self.wrong or self.lost_connections) and self.requests > 0

    @property
    def late_share(self) -> float:
        return self.late / self.requests if self.requests else 0.0

    def cores(self, cpu: float) -> float:
        """CPU seconds as cores kept busy."""
        return cpu / self.seconds

    def bottleneck(self, cores: int) -> Bottleneck:
        """On a machine with so many cores. Time waited for a core counts as work: whoever is saturated by others'
        work on too few cores is still the one the others wait for."""
        full = SATURATED * self.seconds
        if self.proxy is not None and self.proxy.wanted >= full:
            return Bottleneck.PROXY
        if self.generator.wanted >= full:
            return Bottleneck.GENERATOR
        if any(device.wanted >= full for device in self.devices):
            return Bottleneck.DEVICE
        proxy = self.proxy.used if self.proxy is not None else 0.0
        total = proxy + self.generator.used + sum(device.used for device in self.devices) + self.others
        return Bottleneck.MACHINE if self.cores(total) >= ALL_BUSY * cores else Bottleneck.CLIENTS


@attrs.frozen
class Spread:
    """A figure over all rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None when there are no values."""
        return cls(statistics.median(values), min(values), max(values)) if values else None


def ratios(ours: Sequence[Measurement], reference: Sequence[Measurement]) -> list[float]:
    """Cost per request over the reference's of the same round; rounds that one of them lacks are left out.

    Rounds are compared each for itself since the machine's speed changes from minute to minute more than they differ.
    """
    costs = {measurement.round: measurement.cost for measurement in reference}
    found = []
    for measurement in ours:
        cost, other = measurement.cost, costs.get(measurement.round)
        if cost is not None and other:
            found.append(cost / other)
    return found


@attrs.frozen(kw_only=True)
class Row:
    """One contender at one number of clients."""

    contender: str
    clients: int
    cost: Spread | None  # microseconds per request
    ratio: Spread | None  # to the reference
    rate: Spread
    p50: float  # medians over the rounds
    p99: float
    p999: float
    proxy_cores: float | None
    generator_cores: float
    device_cores: float  # of the busiest
    other_cores: float
    bottlenecks: Sequence[Bottleneck]  # one for each round
    clean: bool


def summarise(measurements: Sequence[Measurement], *, reference: str, cores: int) -> list[Row]:
    """A row for each number of clients and contender, fewest clients first, contenders as they first appear."""
    groups: dict[tuple[int, str], list[Measurement]] = {}
    for measurement in measurements:
        groups.setdefault((measurement.clients, measurement.contender), []).append(measurement)
    ordered = sorted(groups.items(), key=lambda item: item[0][0])  # stable: by clients, then as they came
    return [_row(runs, groups.get((clients, reference), ()), cores=cores) for (clients, _), runs in ordered]


def _row(runs: Sequence[Measurement], reference: Sequence[Measurement], *, cores: int) -> Row:
    def middle(figure: Callable[[Measurement], float]) -> float:
        return statistics.median(figure(run) for run in runs)

    rate = Spread.of([run.rate for run in runs])
    assert rate is not None, "a group has at least one run"
    proxies = [run.cores(run.proxy.used) for run in runs if run.proxy is not None]
    return Row(
        contender=runs[0].contender,
        clients=runs[0].clients,
        cost=Spread.of([run.cost for run in runs if run.cost is not None]),
        ratio=Spread.of(ratios(runs, reference)),
        rate=rate,
        p50=middle(lambda run: run.p50),
        p99=middle(lambda run: run.p99),
        p999=middle(lambda run: run.p999),
        proxy_cores=statistics.median(proxies) if proxies else None,
        generator_cores=middle(lambda run: run.cores(run.generator.used)),
        device_cores=middle(lambda run: run.cores(max(device.used for device in run.devices))),
        other_cores=middle(lambda run: run.cores(run.others)),
        bottlenecks=[run.bottleneck(cores) for run in runs],
        clean=all(run.clean for run in runs),
    )
