"""What is believed of a device, as it stands before a test."""

from __future__ import annotations

from random import Random

from config.model import Ejection, Ping
from health.state import Health
from health.tracker import HealthTracker

PING = Ping(interval=2.0, fall=3, rise=2)
EJECTION = Ejection(failures=3, base=10.0, max=60.0)


def tracker() -> HealthTracker:
    return HealthTracker(PING, EJECTION, Random(1))


def up() -> HealthTracker:
    made = tracker()
    made.ping_answered(0.01, 0.0)
    return made


def probation() -> HealthTracker:
    made = up()
    made.ping_failed("gone", 1.0, for_certain=True)
    for _ in range(PING.rise):
        made.ping_answered(0.01, 2.0)
    assert made.health is Health.PROBATION
    return made
