from __future__ import annotations

import itertools

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.rate import Bucket
from balancer.snapshot import Outcome
from config.model import Balancing, Policy, Queue, Role
from tests.support.core import Asked, FakeGroup, device_settings


@given(
    rate=st.floats(1.0, 20_000.0),
    gaps=st.lists(st.floats(0.0, 0.2), min_size=1, max_size=60),
    greed=st.integers(1, 40),
)
def test_never_more_than_the_rate_and_one_burst_in_any_time(rate: float, gaps: list[float], greed: int) -> None:
    bucket = Bucket(rate, 0.0)
    taken: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        for _ in range(greed):
            if not bucket.ready(now):
                break
            bucket.take(now)
            taken.append(now)
    for first, last in itertools.combinations_with_replacement(range(len(taken)), 2):
        assert last - first + 1 <= rate * (taken[last] - taken[first]) + bucket.burst + 1e-6


def test_a_ping_without_a_token_is_paid_for_later() -> None:
    bucket = Bucket(10.0, 0.0)
    assert not bucket.take(0.0)
    assert not bucket.take(0.0)
    assert not bucket.ready(0.11)
    assert bucket.ready(0.2)


# --- through a group ------------------------------------------------------------------------------------------------


def drive(group: FakeGroup, seconds: float, wanted: int) -> dict[str, list[float]]:
    """Devices answer at once, and that many requests always wait. When each device was sent something.

    Time passes as in the proxy: for as long as the deadlines say.
    """
    asked: list[Asked] = []
    sent: dict[str, list[float]] = {device.name: [] for device in group.group.devices}
    end = group.now + seconds
    while group.now < end:
        answered = True
        while answered:
            answered = False
            asked = [each for each in asked if not each.ends]
            asked.extend(group.submit() for _ in range(wanted - len(asked)))
            for device in group.group.devices:
                for upstream in list(device.upstreams):
                    if upstream.outstanding:
                        answered = True
                        sent[device.name].append(upstream.outstanding[0].sent_at)
                        group.answer(upstream)
        group.now += group.deadlines.look(group.now)
    assert all(each.outcome in (None, Outcome.OK) for each in asked)
    return sent


def most_within(sent: list[float], seconds: float) -> int:
    first = most = 0
    for last, when in enumerate(sent):
        while sent[first] <= when - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def licensed(*rates: float | None, policy: Policy = Policy.LEAST_OUTSTANDING) -> FakeGroup:
    devices = [
        device_settings("abc"[n], role=Role.PRODUCTION if n else Role.PRIMARY, rate=rate)
        for n, rate in enumerate(rates)
    ]
    group = FakeGroup(*devices, balancing=Balancing(policy=policy), queue=Queue(timeout=60.0), request_timeout=60.0)
    return group.ready(connections=8)


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("rate", [50.0, 333.0, 2000.0])
def test_a_device_gets_its_licensed_rate_and_never_more(rate: float, policy: Policy) -> None:
    sent = drive(licensed(rate, policy=policy), 2.0, wanted=20)["a"]
    second = [when for when in sent if when >= sent[0] + 0.5 and when < sent[0] + 1.5]
    assert len(second) == pytest.approx(rate, rel=0.05)
    assert most_within(sent, 1.0) <= rate + max(1.0, rate / 40) + 1e-6


def test_what_a_licence_forbids_goes_elsewhere() -> None:
    sent = drive(licensed(100.0, 300.0), 1.0, wanted=20)
    assert len(sent["a"]) == pytest.approx(100, abs=5)
    assert len(sent["b"]) == pytest.approx(300, abs=10)


def test_a_device_without_a_licence_takes_what_others_may_not() -> None:
    group = licensed(100.0, None)
    for _ in range(50):
        asked = [group.submit() for _ in range(8)]
        while group.outstanding:
            for device in group.group.devices:
                for upstream in list(device.upstreams):
                    if upstream.outstanding:
                        group.answer(upstream)
        assert all(each.outcome is Outcome.OK for each in asked)
        group.wait(0.02)
    assert group["a"].ok == pytest.approx(100, abs=5)
    assert group["b"].ok == 400 - group["a"].ok


def test_without_a_token_requests_wait_and_nobody_is_refused() -> None:
    group = licensed(10.0)
    first, second = group.submit(), group.submit()
    group.answer(group.upstream_of(first))
    group.wait(0.08)
    assert second.ends == 0
    assert not group["a"].has_room
    group.wait(0.03)
    assert [attempt.exchange for attempt in group.upstream_of(second).outstanding] == [second.exchange]


def test_a_pinned_client_is_sent_no_faster() -> None:
    group = licensed(10.0)
    pin = group.pin()
    assert pin is not None
    upstream = group.open_private("a")
    first, second = group.submit_pinned(pin), group.submit_pinned(pin)
    group.answer(upstream)
    assert first.outcome is Outcome.OK
    assert not upstream.outstanding
    group.wait(0.11)
    assert [attempt.exchange for attempt in upstream.outstanding] == [second.exchange]


def test_pings_count() -> None:
    group = licensed(10.0)
    ping = group.exchange(b"[AOECHO;AGping;]", [], ping=True)
    ping.done = lambda _: None
    group.group.send_ping(group["a"], ping, group.now)
    asked = group.submit()
    assert not group.upstreams_of(asked)
    group.wait(0.11)
    assert group.upstreams_of(asked)


def test_a_device_on_trial_waits_for_a_token_too() -> None:
    group = licensed(10.0, None)
    group["a"].tracker.eject("a test's wish", group.now)
    group.group.changed(group["a"])
    group.wait(100.0)
    group.up("a")
    assert group["a"].on_trial
    group["a"].spend(group.now)
    asked = group.submit()
    assert group.upstream_of(asked).device is group["b"]


def test_a_reload_changes_the_licence() -> None:
    group = licensed(10.0)
    waiting = [group.submit() for _ in range(6)]
    settings = group["a"].settings
    group["a"].configure(settings)
    assert not group["a"].has_room, "the same licence, used up as it was"
    group["a"].configure(attrs.evolve(settings, rate=None))
    group.wait(0.002)
    assert all(group.upstreams_of(each) for each in waiting)
    group["a"].configure(attrs.evolve(settings, rate=200.0))
    assert group["a"].has_room


def test_status_says_how_often_a_licence_was_used_up() -> None:
    group = licensed(10.0, None)
    group.submit()
    group.submit()
    group.submit()
    first, second = (device.snapshot(0.0) for device in group.group.devices)
    assert (first.rate, first.throttled) == (10.0, 1)
    assert (second.rate, second.throttled) == (None, 0)


def test_while_nothing_is_used_up_time_is_looked_at_every_twenty_milliseconds() -> None:
    group = licensed(10.0)
    assert group.deadlines.look(group.now) == 0.02
    group.submit()
    assert group.deadlines.look(group.now) == pytest.approx(0.002)
