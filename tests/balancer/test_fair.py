from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from balancer.command import CommandTable
from balancer.exchange import Exchange
from balancer.fair import FairQueue, Share
from balancer.snapshot import Outcome
from config.model import Queue, Role
from tests.support.core import BOUNDS, CATALOGUE, Asked, FakeGroup, device_settings

COMMANDS = CommandTable(CATALOGUE, BOUNDS)
COSTS = {b"ECHO": 0.001, b"RSAS": 0.03, b"GRSA": 1.0}
CODES = tuple(COSTS)
NOW = 1000.0


def ask(client: Share | None, code: bytes = b"ECHO", wait_until: float = NOW + 1.0) -> Exchange:
    exchange = Exchange(b"[AO" + code + b";]", code, None, COMMANDS.find(code), None, lambda _: None, NOW, client)
    exchange.wait_until = wait_until
    return exchange


def test_clients_take_turns() -> None:
    queue = FairQueue()
    batch, other = Share(), Share()
    many = [ask(batch) for _ in range(5)]
    few = [ask(other) for _ in range(2)]
    for each in (*many, *few):
        queue.append(each)
    assert [queue.popleft(COSTS) for _ in range(7)] == [many[0], few[0], many[1], few[1], *many[2:]]


def test_a_turn_is_as_long_as_the_work_that_it_buys() -> None:
    """Thirty signatures' worth of ECHOs for one signature."""
    queue = FairQueue()
    slow, quick = Share(), Share()
    for _ in range(100):
        queue.append(ask(slow, b"RSAS"))
        queue.append(ask(quick, b"ECHO"))
    taken = Counter(queue.popleft(COSTS).code for _ in range(93))
    assert taken[b"RSAS"] == pytest.approx(3, abs=1)


def test_who_asks_for_one_key_pair_at_a_time_pays_for_each() -> None:
    queue = FairQueue()
    slow, quick = Share(), Share()
    for _ in range(100):
        queue.append(ask(quick))
    queue.append(ask(slow, b"GRSA"))
    taken = []
    while len(taken) < 60:
        taken.append(queue.popleft(COSTS))
        if taken[-1].client is slow:
            queue.append(ask(slow, b"GRSA"))
    assert Counter(each.code for each in taken)[b"GRSA"] == 1


def test_a_debt_is_forgotten_when_nobody_waits() -> None:
    queue = FairQueue()
    slow, quick = Share(), Share()
    queue.append(ask(slow, b"GRSA"))
    queue.popleft(COSTS)
    queue.append(again := ask(slow))
    queue.append(ask(quick))
    assert queue.popleft(COSTS) is again


def test_who_comes_late_has_saved_nothing_up() -> None:
    queue = FairQueue()
    early, late = Share(), Share()
    for _ in range(200):
        queue.append(ask(early))
    for _ in range(100):
        queue.popleft(COSTS)
    for _ in range(50):
        queue.append(ask(late))
    assert Counter(queue.popleft(COSTS).client for _ in range(40))[late] == pytest.approx(20, abs=1)


def test_what_failed_elsewhere_stands_at_the_head() -> None:
    queue = FairQueue()
    queue.append(fresh := ask(Share()))
    resent = [ask(Share()) for _ in range(3)]
    queue.put_back(resent[2:])
    queue.put_back(resent[:2])
    assert [queue.popleft(COSTS) for _ in range(4)] == [*resent, fresh]


def test_what_nobody_waits_for_costs_its_client_nothing() -> None:
    queue = FairQueue()
    left, other = Share(), Share()
    gone = [ask(left, b"GRSA") for _ in range(3)]
    wanted = [ask(other) for _ in range(3)]
    last = ask(left)
    for each in (*gone, *wanted, last):
        queue.append(each)
    for each in gone:
        each.abandon()
    order = [each for _ in range(7) if not (each := queue.popleft(COSTS)).finished]
    assert order.index(last) <= 1


def test_the_newest_of_the_client_with_the_most_gives_way() -> None:
    queue = FairQueue()
    batch, some = Share(), Share()
    mine = [ask(batch) for _ in range(4)]
    for each in (*mine, *(ask(some) for _ in range(3))):
        queue.append(each)
    assert queue.displaced_by(ask(Share())) is mine[3]
    assert len(queue) == 6


def test_who_would_have_as_many_as_anybody_does_not_come_in() -> None:
    queue = FairQueue()
    batch, some = Share(), Share()
    for share in (batch, batch, batch, some, some):
        queue.append(ask(share))
    assert queue.displaced_by(ask(batch)) is None
    assert queue.displaced_by(ask(some)) is None
    assert queue.displaced_by(ask(None)) is not None


def test_what_was_sent_before_never_gives_way() -> None:
    queue = FairQueue()
    share = Share()
    queue.put_back([ask(share) for _ in range(5)])
    assert queue.displaced_by(ask(Share())) is None


@given(
    costs=st.lists(st.floats(0.0001, 2.0), min_size=2, max_size=5),
    taken=st.integers(1, 200),
    order=st.randoms(use_true_random=False),
)
def test_clients_that_wait_all_the_time_get_as_much_work_within_one_request_of_each(
    costs: list[float], taken: int, order: object
) -> None:
    table = {b"C%03d" % n: cost for n, cost in enumerate(costs)}
    shares = {code: Share() for code in table}
    queue = FairQueue()
    arrivals = [code for code in table for _ in range(taken)]
    order.shuffle(arrivals)  # type: ignore[attr-defined]
    for code in arrivals:
        queue.append(ask(shares[code], code))
    work = dict.fromkeys(table, 0.0)
    for _ in range(taken):
        code = queue.popleft(table).code
        work[code] += table[code]
    for one, other in itertools.combinations(table, 2):
        assert abs(work[one] - work[other]) <= table[one] + table[other] + 1e-9


class QueueMachine(RuleBasedStateMachine):
    """Against a plain record of who waits."""

    @initialize()
    def begin(self) -> None:
        self.queue = FairQueue()
        self.shares: list[Share | None] = [None, *(Share() for _ in range(4))]
        self.waiting: dict[Share | None, list[Exchange]] = {share: [] for share in self.shares}
        self.head: deque[Exchange] = deque()
        self.now = NOW

    @property
    def size(self) -> int:
        return len(self.head) + sum(map(len, self.waiting.values()))

    @rule(who=st.integers(0, 4), code=st.sampled_from(CODES), patience=st.floats(0.1, 3.0))
    def append(self, who: int, code: bytes, patience: float) -> None:
        exchange = ask(self.shares[who], code, self.now + patience)
        self.queue.append(exchange)
        self.waiting[self.shares[who]].append(exchange)

    @precondition(lambda self: self.size)
    @rule(back=st.booleans())
    def take(self, back: bool) -> None:
        taken = self.queue.popleft(COSTS)
        if self.head:
            assert taken is self.head.popleft()
        else:
            assert taken is self.waiting[taken.client].pop(0), "out of its client's order"
        if back and not taken.finished:
            self.queue.put_back((taken,))
            self.head.appendleft(taken)

    @rule(who=st.integers(0, 4))
    def give_way(self, who: int) -> None:
        most = max(map(len, self.waiting.values()))
        displaced = self.queue.displaced_by(ask(self.shares[who]))
        mine = len(self.waiting[self.shares[who]])
        assert (displaced is None) == (most <= max(mine + 1, 1))
        if displaced is not None:
            assert len(self.waiting[displaced.client]) == most
            assert self.waiting[displaced.client].pop() is displaced

    @precondition(lambda self: self.size)
    @rule(which=st.integers(0, 1000))
    def abandon(self, which: int) -> None:
        everything = [*self.head, *itertools.chain(*self.waiting.values())]
        everything[which % len(everything)].abandon()

    @rule(seconds=st.floats(0.0, 1.0))
    def expire(self, seconds: float) -> None:
        self.now += seconds
        expired = self.queue.expire(self.now)
        before = [*self.head, *itertools.chain(*self.waiting.values())]
        assert set(expired) == {e for e in before if not e.finished and e.wait_until <= self.now}
        assert len(set(expired)) == len(expired)
        keep = {each for each in before if not each.finished and each.wait_until > self.now}
        self.head = deque(each for each in self.head if each in keep)
        for share, waiting in self.waiting.items():
            self.waiting[share] = [each for each in waiting if each in keep]

    @invariant()
    def nothing_is_lost_and_nothing_is_there_twice(self) -> None:
        there = list(self.queue)
        assert len(there) == len(self.queue) == self.size == len(set(there))
        assert set(there) == {*self.head, *itertools.chain(*self.waiting.values())}

    def teardown(self) -> None:
        while hasattr(self, "queue") and self.size:
            self.take(back=False)
        assert not hasattr(self, "queue") or not self.queue


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


# --- through a group ------------------------------------------------------------------------------------------------

ONE = device_settings("a", role=Role.PRIMARY, connections=2)
SECONDS = {b"ECHO": 0.001, b"GWKS": 0.5}


def serve(group: FakeGroup, seconds: float, submit: Callable[[], None]) -> None:
    """The device answers each request after its time; ``submit`` is called each millisecond."""
    end = group.now + seconds
    while group.now < end:
        submit()
        for upstream in list(group["a"].upstreams):
            attempt = upstream.outstanding[0] if upstream.outstanding else None
            if attempt is not None and group.now >= attempt.sent_at + SECONDS[attempt.exchange.code] - 1e-9:
                group.answer(upstream)
        group.wait(0.001)


def test_a_batch_of_key_generations_does_not_delay_anothers_echo() -> None:
    """One client always has sixteen key pairs of half a second waiting, others ask for ECHOs now and then."""
    group = FakeGroup(ONE, queue=Queue(timeout=60.0), request_timeout=60.0).ready(connections=2)
    batch, clients = Share(), [Share() for _ in range(10)]
    keys: list[Asked] = []
    echoes: list[Asked] = []

    def submit() -> None:
        while sum(not each.ends for each in keys) < 16:
            keys.append(group.submit(code="GWKS", client=batch))
        if len(echoes) < 10 * (group.now - 1000.0) / 0.1:
            echoes.extend(group.submit(client=client) for client in clients)

    serve(group, 5.0, submit)
    took = [each.done_at - each.exchange.arrived for each in echoes if each.ends]
    assert len(took) > 400
    assert all(each.outcome is Outcome.OK for each in echoes if each.ends)
    # The one key pair that has the connection is not interrupted, and what came in its time takes a millisecond each.
    assert max(took) <= 0.5 + 0.1, "it waited for more than the key pair that was already being made"
    assert sum(each.outcome is Outcome.OK for each in keys) >= 14, "whoever makes keys starves"


def test_a_full_queue_lets_everybody_in() -> None:
    group = FakeGroup(ONE, queue=Queue(size=8, timeout=60.0)).ready(connections=1)
    batch = Share()
    many = [group.submit(code="GWKS", client=batch) for _ in range(9)]
    assert all(each.ends == 0 for each in many)
    assert group.submit(code="GWKS", client=batch).outcome is Outcome.BUSY
    others = [group.submit(client=Share()) for _ in range(7)]
    assert all(each.ends == 0 for each in others)
    assert [each.outcome for each in many] == [None, None, *[Outcome.BUSY] * 7]
    assert group.submit(client=Share()).outcome is Outcome.BUSY, "all have one: nobody gives way"
    assert all(not group.sent_count(each.exchange.request) for each in many[2:])
    assert len(group.group.queue) == 8


def test_a_full_queue_lets_in_who_must_wait_for_one_device() -> None:
    group = FakeGroup(ONE, queue=Queue(size=4, timeout=60.0)).ready(connections=1)
    batch = Share()
    many = [group.submit(client=batch) for _ in range(5)]
    status = group.submit(code="STAT", client=Share())
    assert status.ends == 0
    assert many[-1].outcome is Outcome.BUSY
    for _ in range(5):
        group.answer(next(iter(group["a"].upstreams)))
    assert status.outcome is Outcome.OK
