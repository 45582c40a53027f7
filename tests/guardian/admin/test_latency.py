"""Percentiles of the last seconds, and which device is called slow."""

from __future__ import annotations

from balancer.snapshot import HistogramSnapshot
from guardian.admin.latency import Latencies, latencies
from guardian.admin.past import Moment, Since
from tests.support import operable

NOTHING = operable.histogram()


def of_devices(**recent: HistogramSnapshot) -> Latencies:
    devices = [operable.device(name, recent=found, duration=found) for name, found in recent.items()]
    return latencies(Moment(10.0, operable.proxy(operable.group("payments", *devices))), Since())


def slow(**recent: HistogramSnapshot) -> set[str]:
    return {device for _, device in of_devices(**recent).slower}


QUICK = operable.histogram(*[0.005] * 40)
SLOW = operable.histogram(*[0.05] * 40)


def test_a_device_far_above_the_others_is_slow() -> None:
    found = of_devices(hsm1=QUICK, hsm2=SLOW, hsm3=QUICK)
    assert set(found.slower) == {("payments", "hsm2")}
    assert 5 < found.slower["payments", "hsm2"] < 15


def test_of_two_the_slower_one_is_slow() -> None:
    assert slow(hsm1=QUICK, hsm2=SLOW) == {"hsm2"}


def test_devices_that_are_all_slow_are_not() -> None:
    assert slow(hsm1=SLOW, hsm2=SLOW, hsm3=SLOW) == set()


def test_a_few_slow_answers_say_nothing() -> None:
    assert slow(hsm1=QUICK, hsm2=operable.histogram(*[0.05] * 5)) == set()


def test_a_tail_far_above_the_others_is_slow_too() -> None:
    tail = operable.histogram(*[0.005] * 60, *[0.9] * 3)
    assert slow(hsm1=QUICK, hsm2=QUICK, hsm3=tail) == {"hsm3"}


def test_a_factor_of_fractions_of_a_millisecond_is_no_matter() -> None:
    assert slow(hsm1=operable.histogram(*[0.0001] * 40), hsm2=operable.histogram(*[0.0009] * 40)) == set()


def test_alone_or_idle_nothing_is_slow() -> None:
    assert slow(hsm1=SLOW) == set()
    assert slow(hsm1=SLOW, hsm2=NOTHING) == set()


def test_the_last_seconds_count_and_not_what_was_before() -> None:
    then = operable.device("hsm1", duration=operable.histogram(*[0.5] * 100))
    now = operable.device("hsm1", duration=operable.histogram(*[0.5] * 100, *[0.005] * 50), recent=SLOW)
    before = Moment(0.0, operable.proxy(operable.group("payments", then)))
    found = latencies(Moment(9.0, operable.proxy(operable.group("payments", now))), Since(lately=before))
    p50 = found.devices["payments", "hsm1"].p50
    assert p50 is not None
    assert p50 < 10


def test_commands_and_groups_have_percentiles_in_milliseconds() -> None:
    found = latencies(Moment(0.0, operable.proxy()), Since())
    assert found.commands["payments", "other"].p99 is not None
    assert found.groups["payments"].p50 is not None
    proxy = found.proxy["payments"].p99
    assert proxy is not None
    assert 0 < proxy <= 0.5
