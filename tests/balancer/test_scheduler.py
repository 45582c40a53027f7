from __future__ import annotations

import heapq
from collections import Counter, deque
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cost import DECAY_EVERY
from balancer.device import Device
from balancer.scheduler import Scheduler
from balancer.snapshot import Will
from config.model import Ejection, Ping, Policy, Role
from health.state import Health
from health.tracker import HealthTracker
from tests.support.core import BOUNDS, device_settings

NOW = 1000.0
COUNT, WORK, TURN = Policy.LEAST_OUTSTANDING_COUNT, Policy.LEAST_OUTSTANDING, Policy.ROUND_ROBIN


def device(name: str, health: Health = Health.UP, outstanding: int = 0, free: int = 100, **settings: Any) -> Device:
    settings.setdefault("outstanding", 1000)
    made = Device(device_settings(name, **settings), HealthTracker(Ping(), Ejection(), Random(1)), BOUNDS)
    made.tracker.health = health
    made.outstanding = outstanding
    made.free = deque([object()] * free)  # type: ignore[list-item]
    return made


def scheduler(*devices: Device, policy: Policy = COUNT, slow_start: float = 0.0) -> Scheduler:
    made = Scheduler(policy, slow_start)
    made.refresh(devices)
    return made


def names(devices: tuple[Device, ...]) -> list[str]:
    return [each.name for each in devices]


class TestService:
    def test_production_devices_that_are_up_serve_and_the_primary_comes_first(self) -> None:
        made = scheduler(device("a", role=Role.PRIMARY), device("b"), device("c", role=Role.BACKUP))
        assert names(made.serving) == ["a", "b"]
        assert made.steady is made.serving[0]

    @pytest.mark.parametrize("health", [Health.UNKNOWN, Health.UNSAFE])
    def test_who_was_never_seen_well_or_is_not_who_it_should_be_never_serves(self, health: Health) -> None:
        made = scheduler(device("a", health), device("b", health))
        assert made.serving == made.trials == ()
        assert made.pick(b"ECHO", NOW) is None
        assert made.steady is None

    @pytest.mark.parametrize("health", [Health.DOWN, Health.EJECTED, Health.PROBATION])
    def test_when_nothing_is_up_what_may_still_serve_is_tried(self, health: Health) -> None:
        made = scheduler(device("a", health), device("b", Health.UNSAFE), device("c", Health.UNKNOWN))
        assert names(made.serving) == ["a"]
        assert made.trials == ()

    @pytest.mark.parametrize("health", [Health.DOWN, Health.EJECTED, Health.PROBATION])
    def test_but_not_while_anything_is_up(self, health: Health) -> None:
        assert names(scheduler(device("a", health), device("b")).serving) == ["b"]

    @pytest.mark.parametrize("will", [Will.DRAIN, Will.MAINT])
    def test_the_operators_word_counts_even_when_nothing_else_is_left(self, will: Will) -> None:
        unwanted = device("a", Health.DOWN)
        unwanted.will = will
        assert scheduler(unwanted).serving == ()

    def test_balancing_off_is_not_served_and_is_no_loss(self) -> None:
        made = scheduler(device("a"), device("b", balancing=False), device("c", role=Role.BACKUP))
        assert names(made.serving) == ["a"]

    @pytest.mark.parametrize("lost", range(4))
    def test_backups_replace_lost_devices_one_for_one(self, lost: int) -> None:
        production = [device(f"p{n}", Health.DOWN if n < lost else Health.UP) for n in range(3)]
        backups = [device(f"b{n}", role=Role.BACKUP) for n in range(2)]
        made = Scheduler(COUNT, 0.0)
        assert made.refresh([*production, *backups]) == min(lost, 2)
        assert sum(each.is_backup for each in made.serving) == min(lost, 2)
        assert made.refresh([*production, *backups]) == 0, "nobody new has come"
        for each in production:
            each.tracker.health = Health.UP
        made.refresh([*production, *backups])
        assert names(made.serving) == ["p0", "p1", "p2"]

    def test_a_backup_that_is_not_up_replaces_nobody(self) -> None:
        made = scheduler(
            device("a", Health.DOWN),
            device("b"),
            device("c", Health.DOWN, role=Role.BACKUP),
            device("d", role=Role.BACKUP),
        )
        assert names(made.serving) == ["b", "d"]

    def test_a_drained_device_is_replaced_and_one_that_a_reload_took_out_is_not(self) -> None:
        first, second, spare = device("a"), device("b"), device("c", role=Role.BACKUP)
        second.will = Will.DRAIN
        assert names(scheduler(first, second, spare).serving) == ["a", "c"]
        second.will, second.leaving = Will.READY, True
        assert names(scheduler(first, second, spare).serving) == ["a"]

    def test_suspects_serve_only_if_all_are(self) -> None:
        first, second = device("a"), device("b")
        first.tracker.suspect = True
        assert names(scheduler(first, second).serving) == ["b"]
        second.tracker.suspect = True
        assert names(scheduler(first, second).serving) == ["a", "b"]

    def test_a_backup_in_probation_is_tried_only_while_it_is_needed(self) -> None:
        spare = device("c", Health.PROBATION, role=Role.BACKUP)
        assert scheduler(device("a"), spare).trials == ()
        assert names(scheduler(device("a"), device("b", Health.DOWN), spare).trials) == ["c"]

    def test_a_trial_is_one_at_a_time(self) -> None:
        trying = device("b", Health.PROBATION)
        made = scheduler(device("a"), trying)
        assert made.trial() is trying
        trying.outstanding = 1
        assert made.trial() is None


@st.composite
def loads(draw: st.DrawFn) -> list[Device]:
    return [
        device(
            f"d{n}",
            outstanding=draw(st.integers(0, 6)),
            free=draw(st.integers(0, 2)),
            weight=draw(st.sampled_from([1.0, 2.0, 3.0])),
        )
        for n in range(draw(st.integers(1, 8)))
    ]


class TestLeastOutstanding:
    @given(devices=loads(), limit=st.integers(1, 7), avoided=st.sets(st.integers(0, 7)), turns=st.integers(0, 10))
    def test_it_is_exact(self, devices: list[Device], limit: int, avoided: set[int], turns: int) -> None:
        for each in devices:
            each.limit = limit
        made = scheduler(*devices)
        for _ in range(turns):
            made.pick(b"ECHO", NOW)
        avoid = [each for n, each in enumerate(devices) if n in avoided]
        fit = [each for each in devices if each.free and each.outstanding < limit and each not in avoid]
        picked = made.pick(b"ECHO", NOW, avoid)
        if not fit:
            assert picked is None
        else:
            assert picked in fit
            assert picked is not None
            least = min((each.outstanding + 1) / each.settings.weight for each in fit)
            assert (picked.outstanding + 1) / picked.settings.weight == pytest.approx(least)

    @pytest.mark.parametrize("policy", [COUNT, WORK])
    @pytest.mark.parametrize("number", [2, 3, 5])
    def test_ties_rotate(self, policy: Policy, number: int) -> None:
        made = scheduler(*(device(f"d{n}") for n in range(number)), policy=policy)
        picked = Counter(made.pick(b"ECHO", NOW) for _ in range(100 * number))
        assert set(picked.values()) == {100}

    @pytest.mark.parametrize("policy", [COUNT, WORK])
    def test_weights_share_out_what_stays_outstanding(self, policy: Policy) -> None:
        devices = [device("a", weight=1.0), device("b", weight=3.0)]
        made = scheduler(*devices, policy=policy)
        for _ in range(80):
            picked = made.pick(b"ECHO", NOW)
            assert picked is not None
            picked.outstanding += 1
            picked.work += 0.001
        assert [each.outstanding for each in devices] == pytest.approx([20, 60], abs=1)

    def test_work_counts_and_not_the_number_of_requests(self) -> None:
        key_pair, echoes = device("a", outstanding=1), device("b", outstanding=3)
        for each in (key_pair, echoes):
            each.costs.learn(b"ECHO", 0.001)
        key_pair.work, echoes.work = 2.0, 0.003
        assert scheduler(key_pair, echoes, policy=WORK).pick(b"ECHO", NOW) is echoes
        assert scheduler(key_pair, echoes, policy=COUNT).pick(b"ECHO", NOW) is key_pair

    def test_a_device_that_does_not_know_the_command_is_judged_by_the_quickest_that_does(self) -> None:
        new, slow = device("a"), device("b")
        slow.costs.learn(b"GRSA", 0.5)
        made = scheduler(new, slow, policy=WORK)
        assert {made.pick(b"GRSA", NOW) for _ in range(4)} == {new, slow}


class TestRoundRobin:
    def test_it_is_smooth_and_by_weight(self) -> None:
        devices = [device("a", weight=5.0), device("b"), device("c")]
        made = scheduler(*devices, policy=TURN)
        order = "".join(each.name for each in (made.pick(b"ECHO", NOW) for _ in range(14)) if each)
        assert order == "aabacaa" * 2

    def test_who_has_no_room_is_passed_over_and_gains_nothing_by_it(self) -> None:
        full, other = device("a", free=0), device("b")
        made = scheduler(full, other, policy=TURN)
        assert {made.pick(b"ECHO", NOW) for _ in range(10)} == {other}
        full.free = deque([object()])  # type: ignore[list-item]
        picked = Counter(made.pick(b"ECHO", NOW) for _ in range(10))
        assert picked[full] == picked[other] == 5
        assert made.pick(b"ECHO", NOW, avoid=(other,)) is full


class TestSlowStart:
    def test_the_weight_grows_from_a_tenth_to_the_whole(self) -> None:
        new = device("a", weight=2.0)
        new.ramp_start = NOW
        weights = [new.ramped_weight(NOW + after, 10.0) for after in (0.0, 1.0, 5.0, 9.0)]
        assert weights == pytest.approx([0.2, 0.2, 1.0, 1.8])
        assert new.ramped_weight(NOW + 10.0, 10.0) == 2.0
        assert new.ramp_start is None

    @pytest.mark.parametrize("policy", [COUNT, WORK])
    def test_a_freshly_idle_device_does_not_draw_everything(self, policy: Policy) -> None:
        new, busy = device("a"), device("b", outstanding=20)
        busy.work = 0.02
        new.ramp_start = NOW
        made = scheduler(new, busy, policy=policy, slow_start=10.0)
        for _ in range(20):
            picked = made.pick(b"ECHO", NOW + 5.0)
            assert picked is not None
            picked.outstanding += 1
            picked.work += 0.001
        assert new.outstanding <= busy.outstanding * 0.5 + 1
        assert new.outstanding > 1

    def test_one_at_a_time_is_always_allowed(self) -> None:
        new, idle = device("a"), device("b", free=0)
        new.ramp_start = NOW
        made = scheduler(new, idle, policy=COUNT, slow_start=10.0)
        assert made.pick(b"ECHO", NOW) is new
        new.outstanding = 1
        assert made.pick(b"ECHO", NOW) is None

    def test_where_all_are_new_nobody_is_held_back(self) -> None:
        devices = [device("a", outstanding=5), device("b", outstanding=5)]
        for each in devices:
            each.ramp_start = NOW
        assert scheduler(*devices, slow_start=10.0).pick(b"ECHO", NOW) is not None


def closed_loop(policy: Policy, clients: int, durations: dict[str, float], requests: int = 6000) -> Counter[str]:
    """Each client asks again as soon as it is answered; each device works on one request at a time per connection."""
    devices = {name: device(name, free=1) for name in durations}
    made = scheduler(*devices.values(), policy=policy)
    answered: Counter[str] = Counter()
    events: list[tuple[float, int, str, float, float]] = []
    now, decayed, waiting = NOW, NOW, clients
    for number in range(requests):
        while waiting:
            picked = made.pick(b"ECHO", now)
            assert picked is not None
            expected = picked.usual.get(b"ECHO", 0.001)
            picked.work += expected
            picked.outstanding += 1
            heapq.heappush(
                events, (now + durations[picked.name], number * clients + waiting, picked.name, now, expected)
            )
            waiting -= 1
        now, _, name, sent, expected = heapq.heappop(events)
        while now >= decayed + DECAY_EVERY:
            decayed += DECAY_EVERY
            for each in devices.values():
                each.costs.decay(DECAY_EVERY)
        done = devices[name]
        done.outstanding -= 1
        done.work = done.work - expected if done.outstanding else 0.0
        done.costs.learn(b"ECHO", now - sent)
        answered[name] += 1
        waiting += 1
    return answered


@pytest.mark.parametrize("clients", [3, 16, 64])
def test_a_device_ten_times_slower_gets_few_requests_and_is_not_forgotten(clients: int) -> None:
    answered = closed_loop(WORK, clients, {"a": 0.002, "b": 0.002, "slow": 0.020})
    assert 0 < answered["slow"] < 0.1 * answered.total()


def test_equal_devices_get_equal_shares() -> None:
    answered = closed_loop(WORK, 16, {"a": 0.002, "b": 0.002, "c": 0.002})
    assert max(answered.values()) <= 1.05 * min(answered.values())


def test_the_steady_device_is_the_primary_wherever_the_file_lists_it() -> None:
    first, primary = device("a"), device("b", role=Role.PRIMARY)
    made = scheduler(first, primary)
    assert made.steady is primary
    primary.tracker.ping_failed("gone", NOW, for_certain=True)
    made.refresh([first, primary])
    assert made.steady is first
