"""Events reach whoever subscribed, and the timeline keeps the last that are the proxy's own."""

from __future__ import annotations

from guardian.events import Actor, Event, Events, Kind


def test_an_event_says_who_what_when_from_where_and_what_came_of_it() -> None:
    events = Events(wall=lambda: 1_790_000_000.0)
    by = Actor(name="alice", source="192.0.2.7")
    assert events.tell(Kind.WILL, "payments/hsm1", "drain", by=by, detail="for the night") == Event(
        number=1,
        at=1_790_000_000.0,
        kind=Kind.WILL,
        who="alice",
        source="192.0.2.7",
        what="payments/hsm1",
        result="drain",
        detail="for the night",
    )


def test_what_nobody_asked_for_was_the_proxy_itself() -> None:
    event = Events().tell(Kind.DEVICE, "payments/hsm1", "down")
    assert (event.who, event.source) == ("guardian", "")


def test_a_flood_by_clients_does_not_drive_failovers_out_of_the_timeline() -> None:
    events = Events()
    events.tell(Kind.FAILOVER, "payments", "backups serve")
    for _ in range(5_000):
        for kind in (Kind.BLOCKED, Kind.LOGIN, Kind.CLIENT, Kind.OPERATOR):
            events.tell(kind, "payments/GPKD", "refused")
    assert [event.kind for event in events.since(0)] == [Kind.FAILOVER]


def test_the_timeline_is_bounded_and_can_be_followed() -> None:
    events = Events()
    for number in range(2_000):
        events.tell(Kind.DEVICE, f"payments/hsm{number}", "down")
    kept = list(events.since(0))
    assert len(kept) <= 500
    assert kept[-1].number == 2_000
    assert [event.number for event in events.since(1_998)] == [1_999, 2_000]


def test_a_subscriber_that_fails_hurts_neither_the_others_nor_who_tells() -> None:
    events = Events()
    heard: list[str] = []

    def broken(_event: Event) -> None:
        raise RuntimeError("no disk")

    events.subscribe(broken)
    end = events.subscribe(lambda event: heard.append(event.what))
    events.tell(Kind.DEVICE, "payments/hsm1", "down")
    end()
    events.tell(Kind.DEVICE, "payments/hsm2", "down")
    assert heard == ["payments/hsm1"]
