"""What a frame says, and that a change applied to the frame before gives the frame itself."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer.snapshot import CommandSnapshot, ProxySnapshot
from guardian.admin.frame import About, FrameMaker, Values, changes
from guardian.events import Events, Kind
from tests.support import operable
from tests.support.operable import NIGHT_SHIFT

ABOUT = About(version="1.2.3", data_path="interpreted")


def merge(before: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396, written from its text."""
    after = deepcopy(before)
    for key, value in change.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, dict):
            known = after.get(key)
            after[key] = merge(known if isinstance(known, dict) else {}, value)
        else:
            after[key] = value
    return after


values = st.recursive(
    st.integers(0, 3) | st.booleans() | st.text("ab", max_size=2) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


@settings(max_examples=60)
@given(objects, objects)
def test_a_change_turns_one_state_into_the_other(before: Values, after: Values) -> None:
    assert merge(before, changes(before, after)) == after
    assert changes(after, deepcopy(after)) == {}


def served(device: str, ok: int, **more: Any) -> ProxySnapshot:
    busy = operable.device(device, outcomes={"ok": ok}, **more)
    return operable.proxy(operable.group("payments", busy, operable.device("idle", outcomes={"ok": 10})))


def make(maker: FrameMaker, at: float, snapshot: ProxySnapshot, events: Events | None = None, fresh: int = 0) -> Any:
    return maker.make(at, 1000.0 + at, snapshot, list(events.since(0)) if events else (), fresh)


def test_rates_and_shares_are_what_came_since_the_last_second() -> None:
    maker = FrameMaker(ABOUT)
    first = make(maker, 0.0, served("busy", 100)).full["state"]["groups"]["payments"]
    assert "rate" not in first["devices"]["busy"]  # nothing to compare with yet
    assert "rate" not in first
    second = make(maker, 2.0, served("busy", 160)).full["state"]["groups"]["payments"]
    assert (second["devices"]["busy"]["rate"], second["devices"]["idle"]["rate"]) == (30.0, 0.0)
    assert (second["devices"]["busy"]["share"], second["devices"]["idle"]["share"]) == (1.0, 0.0)


def test_the_rate_of_a_group_counts_each_outcome() -> None:
    def asked(ok: int, blocked: int) -> ProxySnapshot:
        sign = CommandSnapshot(
            command="RSAS", outcomes={"ok": ok, "blocked": blocked}, duration=operable.histogram(0.003)
        )
        return operable.proxy(operable.group(commands=(sign,)))

    maker = FrameMaker(ABOUT)
    make(maker, 0.0, asked(10, 0))
    group = make(maker, 2.0, asked(50, 6)).full["state"]["groups"]["payments"]
    assert (group["rate"], group["outcomes"]) == (23.0, {"ok": 20.0, "blocked": 3.0})
    assert (group["commands"]["RSAS"]["refused"], group["commands"]["RSAS"]["rate"]) == (6, 23.0)


def test_counts_that_begin_anew_are_no_negative_rates() -> None:
    maker = FrameMaker(ABOUT)
    make(maker, 0.0, served("busy", 1000))
    after = make(maker, 2.0, served("busy", 4)).full["state"]["groups"]["payments"]
    assert after["devices"]["busy"]["rate"] == 2.0


def test_each_change_leads_to_the_full_frame_of_its_number() -> None:
    maker = FrameMaker(ABOUT)
    snapshots = [
        served("busy", 100),
        served("busy", 130, reason="connection refused"),
        served("other", 5),  # a device is gone, and a new one is there
        operable.proxy(operable.group("payments"), operable.group("vault")),
        operable.proxy(operable.group("vault")),
    ]
    state: dict[str, Any] = {}
    for number, snapshot in enumerate(snapshots, 1):
        frame = make(maker, number * 1.5, snapshot)
        assert frame.number == frame.full["number"] == frame.change["number"] == number
        state = merge(state, frame.change["change"])
        assert state == frame.full["state"]


def test_a_change_has_only_what_changed() -> None:
    maker = FrameMaker(ABOUT)
    for at in (0.0, 1.5, 3.0):
        make(maker, at, served("busy", 100))
    change = make(maker, 4.5, served("busy", 100, outstanding=9)).change["change"]
    assert change == {"groups": {"payments": {"outstanding": 12, "devices": {"busy": {"outstanding": 9}}}}}


def test_events_come_once_in_changes_and_all_of_them_in_a_full_frame() -> None:
    events = Events(wall=lambda: 1234.5678)
    events.tell(Kind.START, "guardian", "serving")
    maker = FrameMaker(ABOUT)
    make(maker, 0.0, operable.proxy(), events)
    told = events.tell(Kind.WILL, "payments/hsm1", "drain", by=NIGHT_SHIFT, detail="as planned")
    frame = make(maker, 0.2, operable.proxy(), events, fresh=told.number - 1)
    assert frame.change["events"] == [
        {
            "number": 2, "at": 1234.568, "kind": "will", "who": "night shift", "source": "192.0.2.7",
            "what": "payments/hsm1", "result": "drain", "detail": "as planned",
        }
    ]  # fmt: skip
    assert [event["number"] for event in frame.full["events"]] == [1, 2]


def test_what_is_not_known_is_left_out() -> None:
    quiet = operable.device(recent=operable.histogram(), duration=operable.histogram(), last_ping=None)
    frame = make(FrameMaker(ABOUT), 0.0, operable.proxy(operable.group("payments", quiet)))
    device = frame.full["state"]["groups"]["payments"]["devices"]["hsm1"]
    assert not {"p50_ms", "p99_ms", "ping_ms", "rate", "share", "slower", "licence"} & device.keys()
    assert None not in device.values()


def test_certificates_come_by_expiry() -> None:
    snapshot = attrs.evolve(operable.proxy(), certificates={"late.crt": 9e9, "soon.crt": 2e9, "mid.crl": 3e9})
    state = make(FrameMaker(ABOUT), 0.0, snapshot).full["state"]
    assert [entry["file"] for entry in state["certificates"]] == ["soon.crt", "mid.crl", "late.crt"]


def test_workers_are_there_where_there_are_several() -> None:
    snapshot = operable.proxy(workers=(operable.worker(1), operable.worker(2, up=False, restarts=3)))
    state = make(FrameMaker(ABOUT), 0.0, snapshot).full["state"]
    assert {number: (worker["up"], worker["restarts"]) for number, worker in state["workers"].items()} == {
        "1": (True, 0), "2": (False, 3),
    }  # fmt: skip
    assert make(FrameMaker(ABOUT), 0.0, operable.proxy()).full["state"]["workers"] == {}


def test_the_head_of_the_page_says_whether_it_is_ready() -> None:
    out = operable.device(in_service=False)
    state = make(FrameMaker(ABOUT), 0.0, operable.proxy(operable.group("payments", out))).full["state"]
    assert state["ready"] is False
    assert "payments has no usable device" in state["reasons"][0]
    assert (state["state"], state["version"], state["data_path"]) == ("serving", "1.2.3", "interpreted")
