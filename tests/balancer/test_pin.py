from __future__ import annotations

import pytest

from balancer.snapshot import Outcome, Will
from config.model import Ejection, Queue, Role
from health.state import Health
from tests.support.core import Asked, FakeGroup, device_settings

ONE = device_settings("a", role=Role.PRIMARY)


def test_a_pinned_clients_requests_wait_for_its_connection_and_travel_there_alone() -> None:
    group = FakeGroup(ONE).ready()
    pin = group.pin()
    assert pin is not None
    first, second = group.submit_pinned(pin), group.submit_pinned(pin, code="ECHO")
    assert group.outstanding == 0
    private = group.open_private("a")
    for asked in (first, second):
        assert group.upstream_of(asked) is private
        group.answer(private)
        assert asked.outcome is Outcome.OK
    assert not any(upstream.link.queued for upstream in group["a"].upstreams)


def test_a_clients_connection_dies_with_it() -> None:
    group = FakeGroup(ONE).ready()
    pin = group.pin()
    assert pin is not None
    private = group.open_private("a")
    group.group.pins.close(pin)
    assert not private.link.open
    assert not group["a"].private
    assert not group["a"].pins
    assert not group.group.pins.all
    assert private not in group["a"].free
    assert group.pins_ended == [], "its own leaving is no news to it"


@pytest.mark.parametrize("outstanding", [False, True])
def test_a_client_that_leaves_says_nothing_against_the_device(outstanding: bool) -> None:
    group = FakeGroup(ejection=Ejection(failures=1)).ready()
    pin = group.pin()
    assert pin is not None
    assert pin.device is not None
    device = pin.device
    private = group.open_private(device.name)
    if outstanding:
        asked = group.submit_pinned(pin)
        asked.exchange.abandon()
        private.link.flush()  # type: ignore[attr-defined]
    group.group.pins.close(pin)
    assert device.health is Health.UP
    assert not device.tracker.suspect
    assert len(group.group.scheduler.serving) == 2
    assert group.keepers[device].unused == 0
    assert device.outcomes == ({"abandoned": 1} if outstanding else {})
    assert group.outstanding == 0


def test_a_connection_opened_for_a_client_that_has_left_is_closed() -> None:
    group = FakeGroup(ONE).ready()
    pin = group.pin()
    assert pin is not None
    group.group.pins.close(pin)
    private = group.open_private("a")
    assert not private.link.open
    assert not group["a"].private


def test_a_lost_connection_leaves_writes_in_doubt_and_the_login_lost() -> None:
    group = FakeGroup(ONE).ready()
    pin = group.pin()
    assert pin is not None
    private = group.open_private("a")
    sent, queued = group.submit_pinned(pin), group.submit_pinned(pin, code="ECHO")
    group.lose(private)
    assert sent.outcome is Outcome.UNKNOWN
    assert queued.outcome is Outcome.LOGIN_LOST
    assert group.pins_ended == [(pin, True)]
    assert not group.group.pins.all
    assert group.outstanding == 0


def test_a_read_or_what_never_left_is_not_in_doubt_but_the_login_is_lost() -> None:
    group = FakeGroup(device_settings("a", role=Role.PRIMARY, pipeline=2)).ready()
    pin = group.pin()
    assert pin is not None
    private = group.open_private("a")
    read = group.submit_pinned(pin, code="ECHO")
    private.link.flush()  # type: ignore[attr-defined]
    write = group.submit_pinned(pin, code="GPKD")
    group.lose(private, written=False)
    assert read.outcome is write.outcome is Outcome.LOGIN_LOST


def test_a_pinned_request_is_never_sent_to_another_device() -> None:
    group = FakeGroup().ready()
    pin = group.pin()
    assert pin is not None
    assert pin.device is not None
    private = group.open_private(pin.device.name)
    asked = group.submit_pinned(pin, b"[AOECHO;AGmine;]")
    group.lose(private)
    group.flush()
    assert asked.ends == 1
    assert group.sent_count(b"[AOECHO;AGmine;]") == 1


def test_another_device_is_tried_where_one_cannot_be_connected() -> None:
    group = FakeGroup().ready()
    pin = group.pin()
    assert pin is not None
    first = pin.device
    assert first is not None
    group.keepers[first].wanted.clear()
    group.group.pins.open_failed(pin, group.now)
    assert pin.device is not first
    assert not first.pins
    assert pin.device is not None
    group.keepers[pin.device].wanted.clear()
    asked = group.submit_pinned(pin)
    group.group.pins.open_failed(pin, group.now)
    assert asked.outcome is Outcome.NO_DEVICE
    assert group.pins_ended == [(pin, False)]


def test_a_pin_that_finds_no_device_in_time_is_given_up() -> None:
    group = FakeGroup(ONE, queue=Queue(timeout=0.5)).ready()
    pin = group.pin()
    assert pin is not None
    asked = group.submit_pinned(pin)
    group.wait(0.49)
    assert asked.ends == 0
    group.wait(0.02)
    assert asked.outcome is Outcome.NO_DEVICE
    assert group.pins_ended == [(pin, False)]
    private = group.open_private("a")
    assert not private.link.open


def test_who_is_told_that_a_pin_is_over_is_told_before_its_requests_end() -> None:
    """An ended request makes room for the client's next one, which must not be given to a pin that is over."""
    group = FakeGroup(ONE).ready()
    order: list[str] = []
    pin = group.group.pins.open("RKLG", lambda lost: order.append(f"pin {lost}"), group.now)
    assert pin is not None
    exchange = group.exchange(b"[AORKLG;]", [Asked(None)], pin)  # type: ignore[arg-type]
    exchange.done = lambda _: order.append("request")
    group.group.pins.submit(exchange, pin, group.now)
    group.group.pins.refuse(pin)
    assert order == ["pin False", "request"]


def test_a_pinned_request_that_waits_too_long_is_answered() -> None:
    group = FakeGroup(ONE, request_timeout=2.0).ready()
    pin = group.pin()
    assert pin is not None
    private = group.open_private("a")
    first = group.submit_pinned(pin)
    private.link.flush()  # type: ignore[attr-defined]
    second = group.submit_pinned(pin)
    group.wait(1.0)
    third = group.submit_pinned(pin)
    group.wait(1.1)
    assert first.outcome is Outcome.TIMEOUT
    assert second.ends == third.ends == 1
    assert group.sent_count(second.exchange.request) == 0


def test_pinned_clients_wait_while_their_device_is_full_and_go_on_when_it_is_not() -> None:
    group = FakeGroup(device_settings("a", role=Role.PRIMARY, outstanding=1)).ready()
    busy = group.submit()
    pins = [group.pin(), group.pin()]
    asked = []
    for pin in pins:
        assert pin is not None
        asked.append(group.submit_pinned(pin))
        group.open_private("a")
    assert group["a"].outstanding == 1
    group.answer(group.upstream_of(busy))
    assert group["a"].outstanding == 1
    group.answer(group.upstream_of(asked[0]))
    group.answer(group.upstream_of(asked[1]))
    assert [a.outcome for a in asked] == [Outcome.OK, Outcome.OK]
    assert group["a"].outstanding == 0
    assert not group["a"].blocked_pins


def test_no_more_clients_than_the_device_has_private_connections() -> None:
    group = FakeGroup(device_settings("a", role=Role.PRIMARY, private=2)).ready()
    pins = [group.pin() for _ in range(3)]
    assert [pin is not None for pin in pins] == [True, True, False]
    assert pins[0] is not None
    group.group.pins.close(pins[0])
    assert group.pin() is not None


def test_a_drained_device_keeps_its_pinned_clients_and_gets_no_new_ones() -> None:
    group = FakeGroup().ready()
    pin = group.pin()
    assert pin is not None
    device = pin.device
    assert device is not None
    group.open_private(device.name)
    group.group.set_will(device, Will.DRAIN)
    assert group.upstream_of(group.submit_pinned(pin)).device is device
    assert all(other is not None and other.device is not device for other in (group.pin(), group.pin()))
    assert not device.empty


def test_maintenance_ends_pinned_clients() -> None:
    group = FakeGroup().ready()
    pin = group.pin()
    assert pin is not None
    assert pin.device is not None
    group.open_private(pin.device.name)
    device = pin.device
    group.group.set_will(device, Will.MAINT)
    assert group.pins_ended == [(pin, True)]
    assert device.empty


def test_pins_spread_over_the_devices() -> None:
    group = FakeGroup().ready()
    pins = [group.pin() for _ in range(6)]
    assert sorted(pin.device.name for pin in pins if pin and pin.device) == ["a"] * 3 + ["b"] * 3


@pytest.mark.parametrize("recover", ["down", "ejected"])
def test_a_lone_device_that_comes_back_takes_pinned_clients(recover: str) -> None:
    """Where every client logs in first, only a pinned request can prove it."""
    group = FakeGroup(ONE, ejection=Ejection(base=1.0)).ready()
    if recover == "down":
        group.down("a")
        group.up()
    else:
        group["a"].tracker.eject("tried", group.now)
        group.group.changed(group["a"])
        group.wait(1.1)
    assert group["a"].health is Health.PROBATION
    pin = group.pin()
    assert pin is not None
    asked = group.submit_pinned(pin)
    group.answer(group.open_private("a"))
    assert asked.outcome is Outcome.OK
    assert group["a"].health is Health.UP


def test_where_all_are_pinned_one_client_at_a_time_tries_a_device_in_probation() -> None:
    group = FakeGroup().ready()
    group.down("b")
    group.up("b")
    assert group["b"].health is Health.PROBATION
    pins = [group.pin() for _ in range(4)]
    assert [pin.device.name for pin in pins if pin and pin.device].count("b") == 1
    trial = next(pin for pin in pins if pin and pin.device is group["b"])
    group.submit_pinned(trial)
    group.answer(group.open_private("b"))
    assert group["b"].health is Health.UP
