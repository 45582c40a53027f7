"""A run of the comparison that found nothing out of the ordinary."""

from __future__ import annotations

from loadtest.compare.figures import CpuUse, Measurement

IDLE = CpuUse(used=0.4, wanted=0.8)

RUN = Measurement(
    contender="haproxy",
    clients=8,
    round=1,
    requests=100_000,
    errors=0,
    wrong=0,
    lost_connections=0,
    seconds=4.0,
    p50=300.0,
    p99=700.0,
    p999=900.0,
    proxy=CpuUse(used=3.0, wanted=3.1),
    generator=IDLE,
    devices=[IDLE, IDLE, IDLE],
    others=0.1,
)
