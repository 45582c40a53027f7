from __future__ import annotations

from random import Random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.model import Ping
from health.rota import Rota
from health.state import Health
from health.tracker import HealthTracker
from tests.support.beliefs import EJECTION, PING, probation, tracker, up


class TestPings:
    def test_nothing_is_known_before_the_first_good_ping_and_it_is_enough(self) -> None:
        made = tracker()
        assert made.health is Health.UNKNOWN
        made.ping_answered(0.01, 5.0)
        assert made.health is Health.UP
        assert (made.last_ping, made.changed_at, made.reason) == (0.01, 5.0, "")

    def test_it_falls_after_so_many_failures_in_a_row(self) -> None:
        made = up()
        for n in range(PING.fall):
            assert made.health is Health.UP
            made.ping_failed("no answer", float(n))
        assert made.health is Health.DOWN
        assert made.reason == "no answer"

    def test_a_good_ping_between_starts_the_count_anew(self) -> None:
        made = up()
        for _ in range(10):
            made.ping_failed("no answer", 1.0)
            made.ping_failed("no answer", 1.0)
            made.ping_answered(0.01, 1.0)
        assert made.health is Health.UP

    def test_where_nobody_listens_one_is_enough(self) -> None:
        made = up()
        made.ping_failed("nobody listens", 1.0, for_certain=True)
        assert made.health is Health.DOWN

    def test_it_rises_into_probation_after_so_many_good_ones_in_a_row(self) -> None:
        made = up()
        made.ping_failed("gone", 1.0, for_certain=True)
        made.ping_answered(0.01, 2.0)
        made.ping_failed("gone", 3.0)
        made.ping_answered(0.01, 4.0)
        assert made.health is Health.DOWN
        made.ping_answered(0.01, 5.0)
        assert made.health is Health.PROBATION

    def test_one_failure_makes_it_suspect_and_a_good_one_clears_that(self) -> None:
        made = up()
        made.ping_failed("no answer", 1.0)
        assert made.suspect
        made.ping_answered(0.01, 2.0)
        assert not made.suspect

    @pytest.mark.parametrize("make", [up, tracker, probation])
    def test_the_next_one_comes_about_in_time(self, make) -> None:  # type: ignore[no-untyped-def]
        made = make()
        usual = 2.0 if made.health in (Health.UP, Health.PROBATION) else 0.5
        waits = [made.until_next_ping(0.0) for _ in range(200)]
        assert min(waits) >= usual * 0.9
        assert max(waits) <= usual * 1.1
        assert len(set(waits)) > 100, "all at the same moment would be a burst"

    def test_in_doubt_it_comes_sooner_and_while_down_later_and_later_but_it_comes(self) -> None:
        made = up()
        made.ping_failed("no answer", 1.0)
        assert made.until_next_ping(0.0) <= 0.55
        waits = []
        for _ in range(20):
            made.ping_failed("no answer", 2.0)
            waits.append(made.until_next_ping(0.0))
        assert made.health is Health.DOWN
        assert 1.8 <= waits[1] <= 2.2
        assert 7.2 <= waits[-1] <= 8.8
        made.ping_answered(0.01, 3.0)
        assert made.until_next_ping(0.0) <= 0.55, "it may be coming back"


class TestDoubtElsewhere:
    """What another process tells: one failed ping, and never the last."""

    def test_it_spares_one_failed_ping_however_often_it_is_told(self) -> None:
        made = up()
        for _ in range(5):
            made.doubted_elsewhere()
        assert made.health is Health.UP
        assert not made.suspect, "nothing was seen here"
        assert made.until_next_ping(0.0) <= 0.55
        for _ in range(PING.fall - 2):
            made.ping_failed("no answer", 1.0)
        assert made.health is Health.UP
        made.ping_failed("no answer", 2.0)
        assert made.health is Health.DOWN

    def test_a_good_ping_ends_it(self) -> None:
        made = up()
        made.doubted_elsewhere()
        made.ping_answered(0.01, 1.0)
        assert made.until_next_ping(1.0) >= 1.8
        for _ in range(PING.fall - 1):
            made.ping_failed("no answer", 2.0)
        assert made.health is Health.UP

    def test_where_one_failed_ping_is_enough_it_has_to_be_our_own(self) -> None:
        made = HealthTracker(attrs.evolve(PING, fall=1), EJECTION, Random(1))
        made.ping_answered(0.01, 0.0)
        made.doubted_elsewhere()
        assert made.health is Health.UP


class TestTurns:
    def test_processes_take_turns_but_not_in_doubt_and_each_comes_soon_then(self) -> None:
        made = HealthTracker(PING, EJECTION, Random(1), Rota(3, 4))
        assert made.until_next_ping(0.0) <= 0.55, "nothing is known of it yet"
        made.ping_answered(0.01, 0.0)
        assert 5.8 <= made.until_next_ping(0.0) <= 6.2
        made.ping_failed("no answer", 0.0)
        assert made.until_next_ping(0.0) <= 0.55


class TestRequests:
    def test_so_many_failures_in_a_row_eject(self) -> None:
        made = up()
        for _ in range(EJECTION.failures):
            assert made.health is Health.UP
            made.request_failed("lost", 1.0, may_eject=True)
        assert made.health is Health.EJECTED
        assert made.ejections == {"lost": 1}
        assert made.reason == "lost; out for 10 s"

    def test_an_answer_between_starts_the_count_anew(self) -> None:
        made = up()
        for _ in range(10):
            made.request_failed("lost", 1.0, may_eject=True)
            made.request_failed("lost", 1.0, may_eject=True)
            assert made.suspect
            made.request_answered(1.0)
            assert not made.suspect
        assert made.health is Health.UP

    def test_good_pings_between_do_not(self) -> None:
        made = up()
        for _ in range(EJECTION.failures):
            made.request_failed("lost", 1.0, may_eject=True)
            made.ping_answered(0.01, 1.0)
        assert made.health is Health.EJECTED

    def test_the_last_one_is_not_ejected(self) -> None:
        made = up()
        for _ in range(20):
            made.request_failed("lost", 1.0, may_eject=False)
        assert made.health is Health.UP
        made.request_failed("lost", 1.0, may_eject=True)
        assert made.health is Health.EJECTED

    def test_nothing_good_is_concluded_of_a_device_that_is_not_up(self) -> None:
        for made in (tracker(),):
            for _ in range(20):
                made.request_answered(1.0)
            assert made.health is Health.UNKNOWN


class TestEjection:
    def test_it_ends_by_time_in_probation(self) -> None:
        made = up()
        made.eject("tried", 100.0)
        for now, health in ((100.0, Health.EJECTED), (109.9, Health.EJECTED), (110.0, Health.PROBATION)):
            made.tick(now)
            assert made.health is health

    def test_it_grows_while_the_device_does_not_behave_and_no_further_than_the_most(self) -> None:
        made, now, durations = up(), 0.0, []
        for _ in range(6):
            made.eject("tried", now)
            began = now
            while made.health is Health.EJECTED:
                now += 0.5
                made.tick(now)
            durations.append(now - began)
            made.request_answered(now)
            assert made.health is Health.UP
        assert durations == [10.0, 20.0, 40.0, 60.0, 60.0, 60.0]

    def test_failing_in_probation_ejects_at_once_and_for_longer(self) -> None:
        made = up()
        made.eject("tried", 0.0)
        made.tick(10.0)
        made.request_failed("lost", 10.0, may_eject=False)
        assert made.health is Health.EJECTED
        made.tick(29.9)
        assert made.health is Health.EJECTED
        made.tick(30.0)
        assert made.health is Health.PROBATION

    def test_it_starts_anew_when_the_device_behaved_for_longer_than_its_last_one(self) -> None:
        made = up()
        made.eject("tried", 0.0)
        made.tick(10.0)
        made.request_answered(10.0)
        made.eject("tried", 20.1)
        made.tick(30.1)
        assert made.health is Health.PROBATION

    def test_an_ejected_device_whose_pings_fail_is_down(self) -> None:
        made = up()
        made.eject("tried", 0.0)
        made.ping_failed("gone", 1.0, for_certain=True)
        assert made.health is Health.DOWN
        made.tick(1000.0)
        assert made.health is Health.DOWN

    def test_good_pings_do_not_shorten_it(self) -> None:
        made = up()
        made.eject("tried", 0.0)
        for now in range(9):
            made.ping_answered(0.01, float(now))
            made.tick(float(now))
        assert made.health is Health.EJECTED


class TestProbation:
    def test_only_a_real_answer_ends_it_well(self) -> None:
        made = probation()
        for _ in range(20):
            made.ping_answered(0.01, 3.0)
        assert made.health is Health.PROBATION
        made.request_answered(4.0)
        assert made.health is Health.UP
        assert made.reason == ""

    def test_failing_pings_end_it_too(self) -> None:
        made = probation()
        for _ in range(PING.fall):
            made.ping_failed("no answer", 3.0)
        assert made.health is Health.DOWN


def test_new_settings_hold_and_beliefs_stay() -> None:
    made = up()
    made.configure(Ping(fall=1), EJECTION)
    assert made.health is Health.UP
    made.ping_failed("no answer", 1.0)
    assert made.health is Health.DOWN


@given(st.lists(st.sampled_from(["good", "bad", "refused", "answered", "failed", "eject", "tick", "doubt", "forget"])))
def test_whatever_happens_nobody_is_up_without_having_answered_since_it_was_last_out(steps: list[str]) -> None:
    made, now, proved = tracker(), 0.0, False
    for step in steps:
        now += 1.0
        before = made.health
        match step:
            case "good":
                made.ping_answered(0.01, now)
            case "bad" | "refused":
                made.ping_failed("no answer", now, for_certain=step == "refused")
            case "answered":
                made.request_answered(now)
            case "failed":
                made.request_failed("lost", now, may_eject=True)
            case "eject":
                made.eject("tried", now)
            case "tick":
                made.tick(now)
            case "doubt":
                made.doubt()
            case "forget":
                made.forget(now)
        if made.health is Health.UP and before is not Health.UP:
            proved = (before is Health.PROBATION and step == "answered") or (
                before is Health.UNKNOWN and step == "good"
            )
            assert proved
        assert made.until_next_ping(0.0) > 0.0
