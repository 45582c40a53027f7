"""Devices that lack a write, probes, and the first looks after a start: portraits are made by hand."""

from __future__ import annotations

import pytest

from balancer.snapshot import Likeness, Will
from config.model import LikenessAction
from health.drift import compare
from health.state import Health
from tests.support.likeness import World, portrait


@pytest.fixture
def enforced() -> World:
    return World(LikenessAction.ENFORCE)


@pytest.fixture
def observed() -> World:
    return World(LikenessAction.OBSERVE)


@pytest.mark.parametrize("action", LikenessAction)
class TestBehind:
    def test_it_is_unsafe_whatever_is_done_with_the_unlike_until_its_table_is_equal(
        self, action: LikenessAction
    ) -> None:
        world = World(action)
        world.check("p", "a", "b")
        world.woken.clear()
        world.likeness.fell_behind(world.fake["b"], "missed a write", world.fake.now)
        assert world.woken == ["b"]
        world.fake.group.changed(world.fake["b"])
        assert "b" not in world.serving
        world.shows["b"] = portrait("2")
        world.check("b")
        shown = world.fake["b"].snapshot(0.0)
        assert (shown.health, shown.behind, shown.reason) == (Health.UNSAFE, True, "missed a write")
        world.shows["b"] = portrait()
        world.check("b")
        world.fake.up("b")
        assert not world.fake["b"].snapshot(0.0).behind
        assert "b" in world.serving

    def test_an_equal_table_is_enough_though_the_version_differs(self, action: LikenessAction) -> None:
        world = World(action)
        world.check("p")
        world.fake["b"].tracker.behind("missed a write", world.fake.now)
        world.shows["b"] = portrait(version="2")
        world.check("b")
        assert not world.fake["b"].tracker.is_behind

    def test_a_table_seen_before_a_write_does_not_clear_it(self, action: LikenessAction) -> None:
        world = World(action)
        world.check("p", "a", "b")
        world.fake["b"].tracker.behind("missed a write", world.fake.now)
        shown = portrait(writes=1)
        world.likeness.judge(world.fake["b"], shown, compare(shown, portrait(writes=0)), world.fake.now)
        assert world.fake["b"].tracker.is_behind

    def test_the_operators_word_is_enough(self, action: LikenessAction) -> None:
        world = World(action)
        world.check("p", "b")
        device = world.fake["b"]
        device.tracker.behind("missed a write", world.fake.now)
        world.fake.group.set_will(device, Will.DRAIN)
        world.fake.group.set_will(device, Will.READY)
        assert device.tracker.is_behind, "only after maintenance"
        world.fake.group.set_will(device, Will.MAINT)
        world.fake.group.set_will(device, Will.READY)
        assert not device.tracker.is_behind

    def test_a_primary_that_is_behind_is_no_measure_of_itself(self, action: LikenessAction) -> None:
        world = World(action)
        world.check("p", "a", "b")
        primary = world.fake["p"]
        primary.tracker.behind("missed a write", world.fake.now)
        world.fake.group.changed(primary)
        world.shows = dict.fromkeys("pabz", portrait("2", writes=1))
        world.shows["p"] = portrait("1", writes=1)
        world.check("p")
        assert primary.tracker.is_behind
        assert world.state("p") is Likeness.UNLIKE
        world.shows["p"] = portrait("2", writes=1)
        world.check("p")
        assert not primary.tracker.is_behind

    def test_who_is_behind_is_no_reference(self, action: LikenessAction) -> None:
        world = World(action)
        world.check("p", "a", "b")
        world.fake.down("p")
        world.fake["a"].tracker.behind("missed a write", world.fake.now)
        assert world.likeness.reference_for(world.fake["z"]) is world.fake["b"]


def test_a_pinned_clients_write_asks_for_a_check(observed: World) -> None:
    fake = observed.fake
    observed.check("p", "a", "b")
    pin = fake.pin()
    assert pin is not None
    assert pin.device is not None
    name = pin.device.name
    upstream = fake.open_private(name)
    for code, asks in (("ECHO", False), ("GPKD", True)):
        observed.woken.clear()
        fake.submit_pinned(pin, code=code)
        fake.answer(upstream)
        assert (name in observed.woken) is asks
        assert (fake[name].likeness.due <= fake.now) is asks


def test_a_probe_is_no_request(observed: World) -> None:
    """It is counted nowhere, and teaches nothing about the device."""
    fake = observed.fake
    device = fake["a"]
    before = device.snapshot(0.0)
    probe = fake.exchange(b"[AOGPKM;]", [], ping=True)
    probe.done = lambda _: None
    [upstream] = device.upstreams
    fake.group.send_ping(device, probe, fake.now)
    fake.now += 5.0
    fake.answer(upstream, b"[AOGPKM;KT1;]")
    after = device.snapshot(0.0)
    assert (after.outcomes, after.duration, after.outstanding) == (before.outcomes, before.duration, 0)
    assert not device.usual


class TestAfterAStart:
    """What the write journal says of the time before; no device was seen yet."""

    def test_a_primary_known_to_be_behind_sets_no_standard_while_others_are_not(self) -> None:
        world = World(LikenessAction.ENFORCE)
        world.likeness.fell_behind(world.fake["p"], "missed a write", world.fake.now)
        world.shows = {"p": portrait("old"), **dict.fromkeys("abz", portrait("new"))}
        world.check("p")
        assert world.fake["p"].tracker.is_behind
        assert world.state("p") is not Likeness.ALIKE
        world.check("a", "b", "p")
        assert [world.state(name) for name in "abp"] == [Likeness.ALIKE, Likeness.ALIKE, Likeness.UNLIKE]
        world.shows["p"] = portrait("new")
        world.check("p")
        assert not world.fake["p"].tracker.is_behind

    def test_where_all_are_behind_who_lacks_least_speaks_for_them(self) -> None:
        """The primary missed a write that only b has; b may have one more."""
        world = World(LikenessAction.ENFORCE)
        world.check("p", "a", "b")
        for device in world.fake.group.devices:
            device.lacks = 8 if device.name == "b" else 7
            world.likeness.fell_behind(device, "missed a write", world.fake.now)
        world.shows = {"b": portrait("new", writes=2), **dict.fromkeys("paz", portrait("old", writes=2))}
        world.check("p", "b", "p", "a")
        assert [world.fake[name].tracker.is_behind for name in "pab"] == [True, True, False]

    def test_where_all_are_in_doubt_the_primary_speaks_for_them(self) -> None:
        world = World(LikenessAction.ENFORCE)
        for device in world.fake.group.devices:
            world.likeness.fell_behind(device, "a write is in doubt", world.fake.now)
        world.shows = {"p": portrait("new"), "a": portrait("new"), "b": portrait("old"), "z": portrait("new")}
        world.check("p", "a", "b")
        assert [world.fake[name].tracker.is_behind for name in "pab"] == [False, False, True]
