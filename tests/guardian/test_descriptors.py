from __future__ import annotations

from guardian.descriptors import Descriptors


def test_some_are_kept_back_for_devices_and_the_rest() -> None:
    descriptors = Descriptors(1000, lambda: 0)
    before = descriptors.most
    descriptors.reserve(100)
    assert descriptors.most == before - 100
    assert descriptors.most < 900


def test_a_few_clients_are_always_let_in() -> None:
    descriptors = Descriptors(16, lambda: 0)
    descriptors.reserve(500)
    assert descriptors.most == 8


def test_they_are_exhausted_when_all_are_taken() -> None:
    descriptors = Descriptors(100, lambda: 0)
    descriptors.taken = descriptors.most - 1
    assert not descriptors.exhausted
    descriptors.taken += 1
    assert descriptors.exhausted


def test_connections_of_pinned_clients_count_too() -> None:
    private = 0
    descriptors = Descriptors(512, lambda: private)
    descriptors.taken = descriptors.most - 10
    assert not descriptors.exhausted
    private = 10
    assert descriptors.exhausted
