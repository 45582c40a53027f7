"""What workers see of each other in shared memory: each its own row, and every device in one slot for all of them."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from balancer.device import Device
from config import model
from config.model import Bind, Ejection, Ping
from guardian.workers import board as module
from guardian.workers.board import Board, Place, make_board
from health.tracker import HealthTracker
from tests.support.boards import three_boards
from tests.support.core import BOUNDS


def device(name: str, port: int = 9100) -> Device:
    return Device(
        model.Device(name=name, address=Bind(host="127.0.0.1", port=port)),
        HealthTracker(Ping(), Ejection(), Random(1)),
        BOUNDS,
    )


@pytest.fixture
def places(boards: list[Board]) -> list[Place]:
    return [Place(board, number) for number, board in enumerate(boards, 1)]


def begin(place: Place, on: Device, count: int = 1) -> None:
    for _ in range(count):
        on.begin(b"ECHO", 0.0)
    place.publish()


class TestPlace:
    def test_what_others_have_outstanding_counts_as_if_it_were_our_own(self, places: list[Place]) -> None:
        devices = [device("a") for _ in places]
        for place, each in zip(places, devices, strict=True):
            place.enlist("payments", each)
        begin(places[0], devices[0], 3)
        begin(places[1], devices[1], 2)
        for place in places:
            place.look()
        assert [each.elsewhere for each in devices] == [2, 3, 5]
        assert [each.outstanding for each in devices] == [3, 2, 0]
        assert [round(each.work, 9) for each in devices] == [0.005] * 3

    def test_work_comes_down_to_that_of_the_others_and_to_nothing(self, places: list[Place]) -> None:
        ours, theirs = device("a"), device("a")
        places[0].enlist("payments", ours)
        places[1].enlist("payments", theirs)
        begin(places[1], theirs, 2)
        places[0].look()
        cost = ours.begin(b"ECHO", 0.0)
        assert ours.work == pytest.approx(0.002 + cost)
        ours.finish(_attempt(cost))
        assert ours.work == pytest.approx(0.002)
        for _ in range(2):
            theirs.finish(_attempt(0.001))
        places[1].publish()
        places[0].look()
        assert ours.work == ours.work_elsewhere == 0.0

    def test_devices_are_told_apart_by_group_name_and_address(self, places: list[Place]) -> None:
        ours = [device("a"), device("b"), device("a", 9101), device("a")]
        for group, each in zip(("x", "x", "x", "y"), ours, strict=True):
            places[0].enlist(group, each)
        theirs = [device("a"), device("a", 9101), device("b"), device("a")]  # in another order
        for group, each in zip(("x", "x", "x", "y"), theirs, strict=True):
            places[1].enlist(group, each)
        for count, each in enumerate(ours, 1):
            begin(places[0], each, count)
        places[1].look()
        assert [each.elsewhere for each in theirs] == [1, 3, 2, 4]

    def test_pinned_clients_count_too(self, places: list[Place]) -> None:
        ours, theirs = device("a"), device("a")
        places[0].enlist("x", ours)
        places[1].enlist("x", theirs)
        ours.pins.add(object())  # type: ignore[arg-type]
        places[0].publish()
        places[1].look()
        assert theirs.pins_elsewhere == 1

    def test_a_device_that_was_taken_out_and_put_back_is_counted_once_while_both_are_there(
        self, places: list[Place]
    ) -> None:
        leaving, again, theirs = device("a"), device("a"), device("a")
        places[0].enlist("x", leaving)
        places[1].enlist("x", theirs)
        begin(places[0], leaving, 2)
        places[0].enlist("x", again)
        begin(places[0], again, 1)
        places[1].look()
        assert theirs.elsewhere == 3
        places[0].release(leaving)
        places[1].look()
        assert theirs.elsewhere == 1

    def test_a_slot_is_free_only_when_every_worker_has_let_go_of_it(self, places: list[Place]) -> None:
        leaving = [device("a"), device("a")]
        for place, each in zip(places, leaving, strict=False):
            place.enlist("x", each)
        places[0].release(leaving[0])
        fresh, same = device("b"), device("a")
        places[0].enlist("x", fresh)
        places[2].enlist("x", same)
        begin(places[0], fresh, 7)
        begin(places[1], leaving[1], 2)
        places[2].look()
        assert same.elsewhere == 2, "not what another device has, which came into the place of the first"

    def test_a_dead_worker_has_nothing_outstanding(self, boards: list[Board], places: list[Place]) -> None:
        ours, theirs = device("a"), device("a")
        places[0].enlist("x", ours)
        places[1].enlist("x", theirs)
        places[1].beat(5.0, 3)
        begin(places[1], theirs, 4)
        boards[0].clear(2)
        places[0].look()
        assert (ours.elsewhere, ours.work) == (0, 0.0)
        assert boards[0].workers()[1].beat == 0.0
        places[0].release(ours)
        assert boards[2].claim(3, b"another device's") == 0, "nobody has the first slot any more"
        boards[2].release(3, 0)
        other = device("b")
        Place(boards[1], 2).enlist("x", other)
        begin(places[0], ours)
        Place(boards[1], 2).look()
        assert other.elsewhere == 0, "the slot of before was free again"

    def test_where_there_is_no_slot_left_a_worker_goes_by_what_it_has_itself(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "SLOTS", 2)
        board = Board(make_board(2))
        place = Place(board, 1)
        devices = [device(name) for name in "abc"]
        for each in devices:
            place.enlist("x", each)
        begin(place, devices[2])
        place.look()
        place.release(devices[2])
        place.release(devices[0])
        place.enlist("x", devices[2])
        board.close()

    def test_a_worker_that_is_held_up_while_it_claims_a_slot_does_not_hold_up_the_others(
        self, boards: list[Board], places: list[Place]
    ) -> None:
        each = device("a")
        with module._Locked(boards[1]._lock):
            places[0].enlist("x", each)
        places[0].publish()
        places[0].enlist("x", each)
        begin(places[0], each)
        theirs = device("a")
        places[1].enlist("x", theirs)
        places[1].look()
        assert theirs.elsewhere == 1

    def test_a_look_is_not_repeated_within_moments(self, places: list[Place], monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr(module.time, "monotonic", lambda: now)
        ours, theirs = device("a"), device("a")
        places[0].enlist("x", ours)
        places[1].enlist("x", theirs)
        places[0].glance()
        begin(places[1], theirs)
        places[0].glance()
        assert ours.elsewhere == 0
        now += 0.001
        places[0].glance()
        assert ours.elsewhere == 1


class TestClients:
    def test_of_workers_that_accept(self, places: list[Place]) -> None:
        places[0].beat(100.0, 10)
        places[1].beat(100.0, 20)
        places[2].beat(100.0, None)
        assert places[0].connections_elsewhere(100.1) == [20]
        assert places[2].connections_elsewhere(100.1) == [10, 20]
        assert places[0].connections_elsewhere(110.0) == [], "who shows no sign of life accepts nobody"


def test_what_is_no_board_is_not_taken_for_one() -> None:
    descriptor = os.memfd_create("other")
    os.ftruncate(descriptor, 100_000)
    with pytest.raises(OSError, match="no board"):
        Board(descriptor)
    os.close(descriptor)


def _attempt(cost: float) -> Any:
    class Attempt:
        pass

    made = Attempt()
    made.cost = cost  # type: ignore[attr-defined]
    return made


NAMES = ("a", "b", "c", "d")


class Workers(RuleBasedStateMachine):
    """Reloads that come to each worker at its own time, deaths and restarts: what is seen is the sum of the others."""

    @initialize()
    def start(self) -> None:
        self.boards = three_boards()
        self.places = [Place(board, number) for number, board in enumerate(self.boards, 1)]
        self.devices: list[list[Device]] = [[], [], []]  # of each worker; those that leave too

    @rule(worker=st.integers(0, 2), name=st.sampled_from(NAMES), port=st.integers(1, 2))
    def add(self, worker: int, name: str, port: int) -> None:
        if len(self.devices[worker]) < 6:
            made = device(name, port)
            self.devices[worker].append(made)
            self.places[worker].enlist("x", made)

    @rule(worker=st.integers(0, 2), which=st.integers(0, 5), begun=st.integers(0, 3))
    def work(self, worker: int, which: int, begun: int) -> None:
        if which < len(self.devices[worker]):
            begin(self.places[worker], self.devices[worker][which], begun)

    @rule(worker=st.integers(0, 2), which=st.integers(0, 5))
    def end(self, worker: int, which: int) -> None:
        if which < len(self.devices[worker]) and (each := self.devices[worker][which]).outstanding:
            each.finish(_attempt(0.001))
            self.places[worker].publish()

    @rule(worker=st.integers(0, 2), which=st.integers(0, 5))
    def let_go(self, worker: int, which: int) -> None:
        if which < len(self.devices[worker]):
            self.places[worker].release(self.devices[worker].pop(which))

    @rule(worker=st.integers(0, 2))
    def die(self, worker: int) -> None:
        self.boards[(worker + 1) % 3].clear(worker + 1)
        self.places[worker] = Place(self.boards[worker], worker + 1)
        self.devices[worker] = []

    @invariant()
    def each_sees_the_sum_of_the_others(self) -> None:
        for worker, place in enumerate(self.places):
            place.look()
            for each in self.devices[worker]:
                same = [
                    other
                    for index, others in enumerate(self.devices)
                    for other in others
                    if index != worker and _key(other) == _key(each)
                ]
                assert each.elsewhere == sum(other.outstanding for other in same)
                assert each.work == pytest.approx(
                    0.001 * (each.outstanding + sum(other.outstanding for other in same)), abs=1e-9
                )

    def teardown(self) -> None:
        for board in getattr(self, "boards", ()):
            board.close()


def _key(each: Device) -> tuple[str, Bind]:
    return each.name, each.settings.address


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
