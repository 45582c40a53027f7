"""A device that answers errors at once: it must not draw the requests of those that work."""

from __future__ import annotations

from health.state import Health
from tests.support.core import FakeGroup, device_settings


def serve(group: FakeGroup, count: int, *, zombie: str) -> dict[str, int]:
    """So many requests one after the other, each answered at once; how many each device got."""
    got = dict.fromkeys((device.name for device in group.group.devices), 0)
    for _ in range(count):
        upstream = group.upstream_of(group.submit())
        name = upstream.device.name
        got[name] += 1
        group.now += 0.001
        error = b"[AOERRO;AM5;AG%b;]" % (upstream.outstanding[0].exchange.context or b"")
        group.answer(upstream, error if name == zombie else None)
    return got


def three() -> FakeGroup:
    return FakeGroup(*(device_settings(name) for name in "abc")).ready(connections=2)


def test_errors_in_a_row_end_a_probation() -> None:
    group = three()
    device = group["c"]
    device.tracker.eject("for this test", group.now)
    group.group.changed(device)
    group.wait(31.0)
    assert device.health is Health.PROBATION
    assert serve(group, 100, zombie="c")["c"] == group.settings.ejection.failures
    assert device.health is Health.EJECTED
    assert "out for 60 s" in device.tracker.reason


def test_an_error_among_good_answers_ends_no_probation() -> None:
    group = three()
    device = group["c"]
    device.tracker.eject("for this test", group.now)
    group.group.changed(device)
    group.wait(31.0)
    serve(group, 4, zombie="c")
    serve(group, 1, zombie="")
    assert device.health is Health.UP


def test_a_probation_goes_on_where_nothing_else_could_serve() -> None:
    group = FakeGroup(device_settings("a"), device_settings("b")).ready()
    group.down("b")
    group["a"].tracker.eject("for this test", group.now)
    group.group.changed(group["a"])
    group.wait(31.0)
    serve(group, 20, zombie="a")
    assert group["a"].health is Health.PROBATION


def test_a_device_that_answers_errors_does_not_look_quicker_for_it() -> None:
    group = three()
    for _ in range(4):
        serve(group, 6, zombie="")
    before = group["c"].usual[b"ECHO"]
    for _ in range(10):  # too few errors to be judged by
        serve(group, 3, zombie="c")
        group.wait(1.0)
    assert group["c"].usual[b"ECHO"] == before > 0.0


def test_errors_are_noticed_within_a_second_where_there_are_enough() -> None:
    group = three()
    serve(group, 90, zombie="c")
    group.wait(1.0)
    assert group["c"].health is Health.EJECTED


def test_a_few_requests_a_second_are_enough_in_time() -> None:
    """Three a second: it takes twenty seconds until each has answered enough to be judged."""
    group = three()
    for _ in range(25):
        serve(group, 3, zombie="c")
        group.wait(1.0)
    assert group["c"].health is Health.EJECTED


def test_old_errors_are_forgotten() -> None:
    """Eject nobody for what is long over: a window ends when it has been enough for a judgement."""
    group = three()
    serve(group, 30, zombie="c")  # ten answers each: too few
    for _ in range(7):
        serve(group, 60, zombie="")
        group.wait(1.0)
    assert group["c"].tally().errors == 0
    assert group["c"].health is Health.UP
