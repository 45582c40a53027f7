"""Unsafe devices: a stranger's certificate, a key table that is behind, one unlike its group."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.state import Health
from tests.support.beliefs import probation, tracker, up


class TestTrust:
    def test_a_wrong_device_is_never_believed_until_it_is_shown_to_be_the_right_one(self) -> None:
        made = up()
        made.distrust("another certificate", 1.0)
        for _ in range(20):
            made.ping_answered(0.01, 2.0)
            made.request_answered(2.0)
            made.ping_failed("no answer", 2.0, for_certain=True)
            made.eject("tried", 2.0)
            made.tick(1000.0)
            made.forget(2.0)
        assert made.health is Health.UNSAFE
        made.clear(3.0)
        assert made.health is Health.UNKNOWN
        made.ping_answered(0.01, 4.0)
        assert made.health is Health.UP

    @pytest.mark.parametrize("make", [up, tracker, probation])
    def test_clearing_what_was_never_distrusted_changes_nothing(self, make) -> None:  # type: ignore[no-untyped-def]
        made = make()
        before = made.health
        made.clear(5.0)
        assert made.health is before

    @pytest.mark.parametrize("make", [up, tracker, probation])
    def test_what_nobody_looked_at_has_to_answer_a_ping_again(self, make) -> None:  # type: ignore[no-untyped-def]
        made = make()
        made.request_failed("lost", 3.0, may_eject=False)
        made.forget(5.0)
        assert made.health is Health.UNKNOWN
        assert not made.suspect
        made.ping_answered(0.01, 6.0)
        assert made.health is Health.UP


class TestDangers:
    """A stranger's certificate, a key table that is behind, a device unlike its group: each is lifted by itself."""

    def test_behind_is_unsafe_until_it_is_shown_equal(self) -> None:
        made = up()
        made.behind("missed a write", 5.0)
        assert (made.health, made.reason, made.is_behind) == (Health.UNSAFE, "missed a write", True)
        made.ping_answered(0.01, 6.0)
        made.clear(6.0)
        made.shown_alike(6.0)
        made.forget(6.0)
        assert made.health is Health.UNSAFE
        made.shown_equal(7.0)
        assert (made.health, made.is_behind) == (Health.UNKNOWN, False)
        made.ping_answered(0.01, 8.0)
        assert made.health is Health.UP

    def test_unlike_is_unsafe_until_it_is_shown_alike(self) -> None:
        made = up()
        made.unlike("unlike its group: GPKM.KT", 5.0)
        made.clear(6.0)
        made.shown_equal(6.0)
        assert (made.health, made.reason) == (Health.UNSAFE, "unlike its group: GPKM.KT")
        assert not made.is_behind
        made.shown_alike(7.0)
        assert made.health is Health.UNKNOWN

    def test_the_worst_danger_that_is_left_is_the_reason(self) -> None:
        made = up()
        made.unlike("unlike", 1.0)
        made.behind("behind", 2.0)
        made.distrust("stranger", 3.0)
        reasons = []
        for lift in (made.clear, made.shown_equal, made.shown_alike):
            reasons.append((made.health, made.reason))
            lift(4.0)
        assert reasons == [(Health.UNSAFE, "stranger"), (Health.UNSAFE, "behind"), (Health.UNSAFE, "unlike")]
        assert made.health is Health.UNKNOWN

    def test_what_was_no_danger_is_not_lifted(self) -> None:
        made = up()
        made.shown_equal(1.0)
        made.shown_alike(1.0)
        made.clear(1.0)
        assert (made.health, made.changed_at) == (Health.UP, 0.0)

    @given(st.lists(st.sampled_from(["distrust", "behind", "unlike", "clear", "shown_equal", "shown_alike", "ping"])))
    def test_it_is_unsafe_exactly_while_there_is_a_danger(self, events: list[str]) -> None:
        made = up()
        lifts = {"clear": "distrust", "shown_equal": "behind", "shown_alike": "unlike"}
        left = set()
        for number, event in enumerate(events):
            if event == "ping":
                made.ping_answered(0.01, float(number))
            elif event in lifts:
                getattr(made, event)(float(number))
                left.discard(lifts[event])
            else:
                getattr(made, event)(event, float(number))
                left.add(event)
            assert (made.health is Health.UNSAFE) == bool(left)
            assert made.is_behind == ("behind" in left)
