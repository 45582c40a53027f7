"""What follows from checks, without anybody asking a device: portraits are made by hand."""

from __future__ import annotations

import pytest

from balancer.snapshot import Likeness, Outcome, Will
from config.model import Identity, LikenessAction
from health.drift import Portrait, compare, sketch
from health.state import Health
from tests.support.core import group_settings
from tests.support.likeness import ECHO, PIN, TABLE, World, portrait


@pytest.fixture
def enforced() -> World:
    return World(LikenessAction.ENFORCE)


@pytest.fixture
def observed() -> World:
    return World(LikenessAction.OBSERVE)


class TestEnforced:
    def test_a_good_ping_is_not_enough_to_serve(self, enforced: World) -> None:
        assert enforced.serving == []
        asked = enforced.fake.submit()
        assert asked.outcome is Outcome.NO_DEVICE
        assert enforced.fake["a"].snapshot(0.0).reason == "not yet shown to be like its group"
        enforced.check("p", "a", "b", "z")
        assert enforced.serving == ["p", "a", "b"]

    def test_not_even_where_nothing_else_is_left(self, enforced: World) -> None:
        enforced.fake.down("a")
        assert enforced.serving == [], "a device that is down and was never shown alike is not tried at last"

    def test_before_the_primary_was_seen_nobody_is_shown_alike(self, enforced: World) -> None:
        enforced.check("a", "b")
        assert enforced.serving == []
        assert enforced.fake["a"].likeness.results == {"unknown": 1}
        enforced.woken.clear()
        enforced.check("p")
        assert set(enforced.woken) >= {"a", "b", "z"}, "now there is somebody to be compared with"

    def test_one_that_differs_is_unsafe_until_it_does_not(self, enforced: World) -> None:
        enforced.check("p", "a", "b", "z")
        enforced.shows["b"] = portrait("2")
        enforced.check("b")
        assert (enforced.health("b"), enforced.state("b")) == (Health.UNSAFE, Likeness.UNLIKE)
        assert enforced.fake["b"].snapshot(0.0).reason == "unlike its group: GPKM.KT"
        assert enforced.serving == ["p", "a", "z"], "a backup takes its place"
        enforced.check("b")
        assert enforced.events("device unlike") == ["b"], "told once"
        enforced.shows["b"] = portrait()
        enforced.check("b")
        enforced.fake.up("b")
        assert enforced.serving == ["p", "a", "b"]
        assert enforced.events("device alike again") == ["b"]

    def test_another_difference_is_told_again(self, enforced: World) -> None:
        enforced.check("p")
        enforced.shows["b"] = portrait("2")
        enforced.check("b", "b")
        enforced.shows["b"] = portrait("2", version="2")
        enforced.check("b", "b")
        assert enforced.events("device unlike") == ["b", "b"]

    def test_after_its_last_connection_is_lost_it_serves_nothing(self, enforced: World) -> None:
        enforced.check("p", "a", "b")
        enforced.reconnect("b")
        assert enforced.health("b") is Health.UP
        assert "b" not in enforced.serving
        assert enforced.state("b") is Likeness.UNKNOWN
        assert "b" in enforced.woken
        enforced.check("b")
        assert "b" in enforced.serving

    def test_while_it_keeps_one_connection_it_goes_on(self, enforced: World) -> None:
        enforced.fake.open("b")
        enforced.check("p", "a", "b")
        enforced.fake.lose(next(iter(enforced.fake["b"].upstreams)))
        assert enforced.state("b") is Likeness.ALIKE
        enforced.fake.up("b")
        assert "b" in enforced.serving

    def test_what_was_outstanding_there_goes_elsewhere(self, enforced: World) -> None:
        enforced.check("p", "a", "b")
        asked = [enforced.fake.submit() for _ in range(3)]
        enforced.fake.flush()
        [lost] = enforced.fake["b"].upstreams
        enforced.fake.lose(lost)
        for upstream in (*enforced.fake["p"].upstreams, *enforced.fake["a"].upstreams):
            while upstream.outstanding:
                enforced.fake.answer(upstream)
        assert [each.outcome for each in asked] == [Outcome.OK] * 3

    def test_a_failed_check_keeps_what_was_shown_and_what_was_not(self, enforced: World) -> None:
        enforced.check("p", "a")
        for name in ("a", "b"):
            enforced.likeness.failed(enforced.fake[name], "no answer", enforced.fake.now)
            enforced.fake.group.changed(enforced.fake[name])
        assert enforced.serving == ["p", "a"]
        assert enforced.fake["b"].snapshot(0.0).reason == "not yet shown to be like its group: no answer"

    def test_failed_checks_are_repeated_soon_then_seldom_and_told_once(self, enforced: World) -> None:
        waits = []
        for _ in range(9):
            enforced.likeness.failed(enforced.fake["b"], "no answer", enforced.fake.now)
            waits.append(enforced.fake["b"].likeness.due - enforced.fake.now)
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        assert enforced.events("likeness check failed") == ["b"]

    def test_without_probes_nothing_is_held(self) -> None:
        world = World(LikenessAction.ENFORCE)
        world.fake.group.configure(group_settings(*world.fake.settings.devices, identity=Identity(probes=())))
        for device in world.fake.group.devices:
            world.fake.group.changed(device)
        assert world.serving == ["p", "a", "b"]


class TestReload:
    def test_answers_to_other_probes_than_todays_say_nothing(self, enforced: World) -> None:
        enforced.check("p")
        old = Portrait({TABLE: sketch(b"[AOGPKM;KT2;]", TABLE, b"")}, 0)
        device = enforced.fake["b"]
        device.likeness.due = enforced.fake.now + 60.0
        enforced.likeness.judge(device, old, compare(old, old), enforced.fake.now)
        assert enforced.state("b") is Likeness.UNKNOWN
        assert device.likeness.due == enforced.fake.now, "and it is asked anew"


class TestObserved:
    def test_it_serves_at_once(self, observed: World) -> None:
        assert observed.serving == ["p", "a", "b"]

    def test_what_differs_is_told_and_shown_and_it_serves_on(self, observed: World) -> None:
        observed.check("p", "a", "b")
        observed.shows["b"] = portrait("2")
        observed.check("b", "b")
        assert "b" in observed.serving
        shown = observed.fake["b"].snapshot(0.0)
        assert (shown.likeness.state, shown.reason) == (Likeness.UNLIKE, "unlike its group: GPKM.KT")
        assert [each.split(":")[0] for each in shown.likeness.differs] == ["GPKM.KT"]
        assert shown.likeness.checked_at == observed.fake.now
        assert shown.likeness.results == {"alike": 1, "unlike": 2}
        assert observed.events("device unlike") == ["b"]

    def test_a_reload_to_enforce_takes_it_out_and_back_lets_it_in(self, observed: World) -> None:
        observed.check("p", "a", "b")
        observed.shows["b"] = portrait("2")
        observed.check("b")
        devices = observed.fake.settings.devices
        for action, health in ((LikenessAction.ENFORCE, Health.UNSAFE), (LikenessAction.OBSERVE, Health.UNKNOWN)):
            identity = Identity(action=action, probes=(ECHO, TABLE))
            observed.fake.group.configure(group_settings(*devices, identity=identity))
            assert observed.health("b") is health
            assert observed.health("a") is Health.UP
            assert observed.state("b") is Likeness.UNLIKE

    def test_a_reload_to_enforce_holds_who_was_never_checked(self, observed: World) -> None:
        observed.check("p", "a")
        identity = Identity(action=LikenessAction.ENFORCE, probes=(ECHO, TABLE))
        observed.fake.group.configure(group_settings(*observed.fake.settings.devices, identity=identity))
        observed.fake.group.changed(observed.fake["b"])
        assert observed.serving == ["p", "a"]


class TestThePrimary:
    def test_while_it_stays_connected_its_change_is_everybody_elses_difference(self, enforced: World) -> None:
        enforced.check("p", "a", "b")
        enforced.shows["p"] = portrait("2")
        enforced.woken.clear()
        enforced.check("p")
        assert set(enforced.woken) >= {"a", "b"}
        assert enforced.events("likeness reference changed") == ["p"]
        enforced.check("a", "b")
        assert enforced.serving == ["p"]

    def test_one_that_comes_back_with_another_table_is_unlike_and_the_others_go_on(self, enforced: World) -> None:
        enforced.check("p", "a", "b")
        enforced.shows["p"] = portrait("")
        enforced.reconnect("p")
        enforced.check("p", "a", "b")
        assert enforced.health("p") is Health.UNSAFE
        assert enforced.serving == ["a", "b"]

    def test_the_operators_word_makes_it_the_reference_again(self, enforced: World) -> None:
        enforced.check("p", "a", "b")
        enforced.shows["p"] = portrait("2")
        enforced.fake.group.set_will(enforced.fake["p"], Will.MAINT)
        enforced.fake.group.set_will(enforced.fake["p"], Will.READY)
        enforced.fake.open("p")
        enforced.fake.up("p")
        enforced.check("p", "a")
        enforced.fake.up("p")
        assert (enforced.state("p"), enforced.state("a")) == (Likeness.ALIKE, Likeness.UNLIKE)
        assert enforced.serving == ["p", "b"] or enforced.serving == ["p", "b", "z"]

    def test_while_it_is_away_another_that_is_alike_stands_in(self, enforced: World) -> None:
        enforced.check("p", "a", "b")
        enforced.fake.down("p")
        enforced.shows = dict.fromkeys("ab", portrait("1", writes=3))
        assert enforced.likeness.reference_for(enforced.fake["b"]) is enforced.fake["a"]
        enforced.check("b")
        assert enforced.state("b") is Likeness.ALIKE
        enforced.shows["b"] = portrait("2", writes=3)
        enforced.check("b")
        assert enforced.state("b") is Likeness.UNLIKE

    def test_where_nobody_is_left_its_last_answers_count_as_long_as_no_write_came(self, enforced: World) -> None:
        enforced.check("p", "a", "b")
        for name in "pa":
            enforced.reconnect(name)
        enforced.fake.down("p")
        enforced.fake.down("b")
        enforced.check("a")
        assert enforced.state("a") is Likeness.ALIKE
        enforced.reconnect("a")
        enforced.shows["a"] = portrait("1", writes=1)
        enforced.check("a")
        assert enforced.state("a") is Likeness.UNKNOWN, "a write came after: nobody can say"
        assert "a" not in enforced.serving
        enforced.shows["a"] = portrait("1", version="2", writes=1)
        enforced.check("a")
        assert enforced.state("a") is Likeness.UNLIKE, "its version can still be compared"

    def test_when_it_is_back_those_who_could_not_be_compared_are_looked_at(self, enforced: World) -> None:
        enforced.check("p", "a", "b")
        for name in "pab":
            enforced.reconnect(name)
        enforced.shows = dict.fromkeys("pabz", portrait(writes=1))
        enforced.check("a")
        assert enforced.state("a") is Likeness.UNKNOWN
        enforced.shows["p"] = portrait(writes=0)
        enforced.woken.clear()
        enforced.check("p")
        assert enforced.state("p") is Likeness.ALIKE
        assert {"a", "b"} <= set(enforced.woken)

    def test_with_a_wrong_serial_it_sets_no_standard_while_others_are_compared(self) -> None:
        world = World(LikenessAction.ENFORCE, pin=PIN)
        world.shows = dict.fromkeys("pabz", portrait(serial="right"))
        world.check("p", "a")
        world.shows["p"] = portrait("2", serial="wrong")
        world.shows["b"] = portrait("3", serial="right")
        world.check("b", "a")
        assert world.events("likeness reference changed") == []
        assert world.state("a") is Likeness.ALIKE

    def test_a_wrong_serial_is_unlike_whoever_shows_it_and_no_reference(self) -> None:
        world = World(LikenessAction.ENFORCE, pin=PIN)
        world.shows["p"] = portrait(serial="wrong")
        world.shows["a"] = portrait(serial="right")
        world.check("p", "a")
        assert world.health("p") is Health.UNSAFE
        assert world.state("a") is Likeness.UNKNOWN
        world.shows["a"] = portrait(serial="wrong")
        world.check("a")
        assert world.health("a") is Health.UNSAFE, "for that no reference is needed"
