"""The merge of what several workers show equals what one process would have shown."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer.exemplar import Exemplar
from balancer.histogram import Histogram
from balancer.snapshot import (
    CommandSnapshot,
    DeviceSnapshot,
    GroupSnapshot,
    HistogramSnapshot,
    Likeness,
    LikenessSnapshot,
    ListenerSnapshot,
    ProxySnapshot,
    ProxyState,
    Will,
    WritesSnapshot,
)
from guardian.admin.status import unready
from guardian.workers.merge import joined, merged, remains
from guardian.workers.sums import completion_number, summed
from health.state import Health
from tests.support import operable

BOUNDS = (0.001, 0.01, 0.1, 1.0)


@attrs.frozen
class Answered:
    """One exchange, and what it counts."""

    command: str
    outcome: str
    device: str
    ended: str
    seconds: float


class Counting:
    """Counts as a process does, from nothing."""

    def __init__(self) -> None:
        self.commands: dict[str, tuple[Counter[str], Histogram]] = {}
        self.latest: dict[str, dict[str, Exemplar]] = {}
        self.devices = {name: (Counter[str](), Histogram(BOUNDS), Histogram(BOUNDS)) for name in ("hsm1", "hsm2")}
        self.proxy = Histogram(BOUNDS)
        self.queue = Histogram(BOUNDS)
        self.retries = Counter[str]()
        self.number = 0

    def take(self, one: Answered, at: int) -> None:
        self.number += 1
        outcomes, duration = self.commands.setdefault(one.command, (Counter(), Histogram(BOUNDS)))
        shown = Exemplar(value=one.seconds, at=at, client="vault", device=one.device, command=one.command,
                         outcome=one.outcome, completion=self.number)  # fmt: skip
        outcomes[one.outcome] += 1
        duration.record(one.seconds)
        duration.show(shown)
        self.latest.setdefault(one.command, {})[one.outcome] = shown
        ended, of_device, recent = self.devices[one.device]
        ended[one.ended] += 1
        for histogram in (of_device, recent, self.proxy, self.queue):
            histogram.record(one.seconds)
        self.retries[one.ended] += 1

    def snapshot(self) -> ProxySnapshot:
        devices = tuple(
            operable.device(name, outcomes=dict(ended), duration=duration.snapshot(), recent=recent.snapshot())
            for name, (ended, duration, recent) in self.devices.items()
        )
        commands = tuple(
            CommandSnapshot(
                command=name, outcomes=dict(outcomes), duration=duration.snapshot(), latest=dict(self.latest[name])
            )
            for name, (outcomes, duration) in self.commands.items()
        )
        return operable.proxy(
            operable.group(
                "payments",
                *devices,
                commands=commands,
                proxy_duration=self.proxy.snapshot(),
                queue_duration=self.queue.snapshot(),
                retries=dict(self.retries),
            )
        )


ANSWERED = st.builds(
    Answered,
    st.sampled_from(["ECHO", "RSAS", "other"]),
    st.sampled_from(["ok", "device_error", "busy"]),
    st.sampled_from(["hsm1", "hsm2"]),
    st.sampled_from(["ok", "lost", "timeout"]),
    # Sums of these are exact, in any order.
    st.sampled_from([0.0, 0.0009765625, 0.001953125, 0.015625, 0.5, 2.0]),
)
WHO = st.integers(1, 4)
HAPPENS = st.lists(st.tuples(WHO, ANSWERED) | st.tuples(WHO, st.none()), max_size=40)  # None: it dies


@settings(deadline=None)
@given(HAPPENS)
def test_counts_of_workers_that_come_and_go_are_those_of_one_process(
    happens: list[tuple[int, Answered | None]],
) -> None:
    one, workers = Counting(), {number: Counting() for number in range(1, 5)}
    former: ProxySnapshot | None = None
    totals: list[int] = []
    for at, (number, what) in enumerate(happens):
        if what is None:
            former = joined(former, remains(workers[number].snapshot(), number))
            workers[number] = Counting()
        else:
            one.take(what, at)
            workers[number].take(what, at)
        whole = merged({number: worker.snapshot() for number, worker in workers.items()}, former)
        totals.append(sum(sum(command.outcomes.values()) for command in whole.groups[0].commands))
    assert totals == sorted(totals), "a total fell"
    whole = merged({number: worker.snapshot() for number, worker in workers.items()}, former)
    expected, found = one.snapshot().groups[0], whole.groups[0]
    assert counts(found) == counts(expected)


def counts(group: GroupSnapshot) -> dict[object, object]:
    """All that is counted, and whose exemplars are shown."""

    def of(histogram: HistogramSnapshot | None) -> object:
        assert histogram is not None
        shown = {bucket: (one.at, one.value, one.command) for bucket, one in histogram.exemplars.items()}
        return histogram.bounds, histogram.counts, histogram.total, shown

    found: dict[object, object] = {"proxy": of(group.proxy_duration), "queue": of(group.queue_duration)}
    found["retries"] = dict(group.retries)
    for command in group.commands:
        latest = {outcome: one.at for outcome, one in command.latest.items()}
        found[command.command] = dict(command.outcomes), of(command.duration), latest
    for device in group.devices:
        found[device.name] = dict(device.outcomes), of(device.duration)
    return found


def test_completions_of_two_workers_are_never_the_same_number() -> None:
    first, second = Counting(), Counting()
    first.take(Answered("ECHO", "ok", "hsm1", "ok", 0.5), 1)
    second.take(Answered("ECHO", "ok", "hsm1", "ok", 2.0), 2)
    whole = merged({1: first.snapshot(), 2: second.snapshot()})
    former = joined(joined(None, remains(first.snapshot(), 1)), remains(second.snapshot(), 2))
    for shown in (whole, former, merged({3: Counting().snapshot()}, former)):
        exemplars = shown.groups[0].commands[0].duration.exemplars
        assert {one.completion for one in exemplars.values()} == {completion_number(1, 1), completion_number(1, 2)}


# --- every field has its rule ------------------------------------------------------------------------------------

# What all workers have from one configuration: shown as the first has it.
SAME = {
    "ProxySnapshot": {"certificates", "reloads", "revocation_lists", "audit", "workers"},  # the supervisor's own
    "GroupSnapshot": {"name", "type"},
    "DeviceSnapshot": {"name", "address", "role", "weight"},
    "CommandSnapshot": {"command"},
    "ListenerSnapshot": {"name", "bind", "group"},
    "WritesSnapshot": set[str](),
    "LikenessSnapshot": set[str](),
}
WORSE: dict[str, Any] = {
    "state": ProxyState.SERVING,
    "health": Health.UNSAFE,
    "will": Will.MAINT,
    "reason": "pings fail",
    "promoted": "hsm2",
    "in_doubt": ("hsm2",),
    "differs": ("STAT",),
    "started": 1.0,
    "rate": 50.0,
    "last_ping": 7.0,
}
DEVICE = attrs.evolve(
    operable.device(health=Health.UP, in_service=False, rate=20.0, reason=""),
    likeness=LikenessSnapshot(state=Likeness.ALIKE, checked_at=5.0),
)
SHOWN = attrs.evolve(
    operable.proxy(operable.group("payments", DEVICE, writes=WritesSnapshot())), state=ProxyState.STARTING
)


def other_than(name: str, value: Any) -> Any:
    """A value of the same kind, later and worse."""
    if isinstance(value, Likeness):
        return Likeness.UNLIKE
    if name in WORSE:
        return WORSE[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, HistogramSnapshot):
        return operable.histogram(0.0004, 0.0004, 7.0)
    if isinstance(value, int | float):
        return value + 1_000_000
    if isinstance(value, dict):
        return {**value, "new": 1}
    assert not isinstance(value, enum.Enum | str), f"say in SAME or WORSE what {name} is"
    return None


def spots(value: Any, path: tuple[Any, ...] = ()) -> Sequence[tuple[Any, ...]]:
    """The fields of all snapshots in it."""
    found = []
    for field in attrs.fields(type(value)):
        if field.name in SAME[type(value).__name__]:
            continue
        inner, at = getattr(value, field.name), (*path, field.name)
        if type(inner).__name__ in SAME:
            found += spots(inner, at)
        elif isinstance(inner, tuple) and inner and type(inner[0]).__name__ in SAME:
            found += spots(inner[0], (*at, 0))
        else:
            found.append(at)
    return found


def changed(value: Any, path: tuple[Any, ...]) -> Any:
    head, rest = path[0], path[1:]
    if head == 0:
        return (changed(value[0], rest), *value[1:])
    inner = getattr(value, head)
    return attrs.evolve(value, **{head: changed(inner, rest) if rest else other_than(head, inner)})


@pytest.mark.parametrize("path", [path for path in spots(SHOWN) if path[-1] != "latest"], ids=str)
def test_nothing_that_a_second_worker_shows_is_forgotten(path: tuple[Any, ...]) -> None:
    second = changed(SHOWN, path)
    if path[-1] == "last_ping":  # that of the latest ping
        second = changed(second, (*path[:-1], "last_ping_at"))
    assert second != SHOWN
    assert merged({1: SHOWN, 2: second}) != merged({1: SHOWN, 2: SHOWN})


# Not added up: points in time, what is measured, and the number of a write, of which there is one row.
NOT_ADDED = {"since", "started", "last_ping", "last_ping_at", "checked_at", "last_sequence"}


@pytest.mark.parametrize("path", spots(operable.proxy()), ids=str)
def test_two_of_the_same_are_twice_as_much(path: tuple[Any, ...]) -> None:
    def at(value: Any) -> Any:
        for part in path:
            value = value[part] if part == 0 else getattr(value, part)
        return value

    def twice(value: Any) -> Any:
        if isinstance(value, HistogramSnapshot):
            return tuple(2 * count for count in value.counts), 2 * value.total
        if isinstance(value, dict):
            return {key: twice(each) for key, each in value.items()}
        known = isinstance(value, bool) or path[-1] in NOT_ADDED
        return value if known or not isinstance(value, int | float) else 2 * value

    one = operable.proxy()
    found = at(merged({1: one, 2: one}))
    assert ((found.counts, found.total) if isinstance(found, HistogramSnapshot) else found) == twice(at(one))


COUNTED = {
    ("groups", 0, "devices", 0): {"throttled", "outcomes", "duration", "ejections"},
    ("groups", 0, "devices", 0, "likeness"): {"results"},
    ("groups", 0, "commands", 0): {"outcomes", "duration"},
    ("groups", 0): {"proxy_duration", "retries", "failovers", "would_block", "logins", "queue_duration",
                    "retries_refused"},
    ("groups", 0, "writes"): {"results"},
    ("listeners", 0): {"handshakes"},
    (): {"loop_delay", "lines_dropped"},
}  # fmt: skip


@pytest.mark.parametrize("path", [path for path in spots(SHOWN) if path[-1] != "latest"], ids=str)
def test_of_a_worker_that_has_ended_its_counts_stay_and_nothing_else(path: tuple[Any, ...]) -> None:
    def whole(ended: ProxySnapshot) -> ProxySnapshot:
        return merged({1: SHOWN}, joined(None, remains(ended, 2)))

    assert (whole(changed(SHOWN, path)) != whole(SHOWN)) is (path[-1] in COUNTED.get(path[:-1], ()))


# --- what workers believe ----------------------------------------------------------------------------------------


def shown(**changes: Any) -> ProxySnapshot:
    return operable.proxy(operable.group("payments", operable.device("hsm1", **changes)))


def device_of(*parts: ProxySnapshot) -> DeviceSnapshot:
    return merged(dict(enumerate(parts, 1))).groups[0].devices[0]


def test_a_device_has_the_worst_health_and_the_reason_says_who_believes_it() -> None:
    found = device_of(
        shown(), shown(health=Health.DOWN, in_service=False, reason="ping unanswered", since=9.0), shown()
    )
    assert (found.health, found.in_service, found.since) == (Health.DOWN, True, 9.0)
    assert found.reason == "worker 2: ping unanswered (others: up)"


def test_where_all_believe_the_same_the_reason_is_as_with_one_process() -> None:
    down = shown(health=Health.DOWN, in_service=False, reason="nobody listens there")
    assert device_of(down, down).reason == "nobody listens there"


def test_a_worker_that_has_just_started_has_no_say() -> None:
    found = device_of(shown(health=Health.UNKNOWN, in_service=False, reason="not looked at yet"), shown(reason=""))
    assert (found.health, found.in_service, found.reason) == (Health.UP, True, "")


def test_every_health_has_its_place() -> None:
    for health in Health:
        assert device_of(shown(health=health), shown(health=health)).health is health


def test_without_a_worker_nothing_is_in_service() -> None:
    former = joined(None, remains(operable.proxy(), 1))
    whole = merged({}, former)
    assert unready(whole)
    assert not whole.groups[0].usable
    assert sum(whole.listeners[0].connections.values()) == 0
    with pytest.raises(ValueError, match="nothing"):
        merged({})


def test_a_device_at_another_address_is_another_device() -> None:
    former = joined(None, remains(shown(outcomes={"ok": 90}), 1))
    assert merged({1: shown(outcomes={"ok": 1}, address="10.0.8.31:9100")}, former).groups[0].devices[0].requests == 1
    assert merged({1: shown(outcomes={"ok": 1})}, former).groups[0].devices[0].requests == 91


def test_what_a_reload_has_taken_out_is_not_shown_for_those_that_have_ended() -> None:
    former = joined(None, remains(operable.proxy(operable.group("payments"), operable.group("old")), 1))
    assert [group.name for group in merged({1: operable.proxy()}, former).groups] == ["payments"]
    assert [group.name for group in joined(former, remains(operable.proxy(), 2)).groups] == ["payments"]


def test_a_behind_device_lacks_the_earliest_write_that_anybody_says() -> None:
    one = operable.proxy(operable.group(writes=WritesSnapshot(behind={"hsm2": 7}, last_sequence=9)))
    two = operable.proxy(operable.group(writes=WritesSnapshot(behind={"hsm2": 5}, in_doubt=("hsm2",))))
    writes = merged({1: one, 2: two}).groups[0].writes
    assert (writes.behind, writes.in_doubt, writes.last_sequence) == ({"hsm2": 5}, ("hsm2",), 9)


def test_histograms_with_other_buckets_are_summed_over_the_bounds_that_both_have() -> None:
    fine, coarse = Histogram((0.001, 0.01, 0.1, 1.0)), Histogram((0.01, 0.5, 1.0))
    values = (0.0005, 0.001, 0.005, 0.05, 0.7, 3.0)
    for value in values:
        fine.record(value)
        coarse.record(value)
    both = summed([fine.snapshot(), coarse.snapshot()])
    single = Histogram((0.01, 1.0))
    for value in values * 2:
        single.record(value)
    assert (both.bounds, both.counts) == (single.snapshot().bounds, single.snapshot().counts)


def test_listeners_are_summed() -> None:
    part = operable.proxy()
    assert isinstance(part.listeners[0], ListenerSnapshot)
    [whole] = merged({1: part, 2: part}).listeners
    assert (whole.limit, whole.handshakes, whole.connections) == (
        8192, {"ok": 40, "refused": 4}, {"shared": 20, "pinned": 6},
    )  # fmt: skip
