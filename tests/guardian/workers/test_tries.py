"""Refused logins of all workers count together: they may do what one process may, and never more."""

from __future__ import annotations

from collections.abc import Hashable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from balancer.login import LoginTries
from guardian.workers import tries as module
from guardian.workers.board import Board
from guardian.workers.tries import SharedTries
from tests.support.boards import three_boards
from tests.support.core import Asked, FakeGroup

MOST, WINDOW = 3, 60.0


@pytest.fixture
def workers(boards: list[Board]) -> list[SharedTries]:
    return [SharedTries(board, number, "payments") for number, board in enumerate(boards, 1)]


def test_one_more_than_the_setting_goes_nowhere_whichever_worker_is_asked(workers: list[SharedTries]) -> None:
    for worker in workers:
        assert worker.begin("vault-1", MOST, WINDOW, 100.0) is True
    assert [worker.begin("vault-1", MOST, WINDOW, 100.0) for worker in workers] == [None] * 3
    assert workers[0].begin("vault-2", MOST, WINDOW, 100.0) is True, "each identity by itself"
    workers[1].end("vault-1", 101.0, good=True)
    assert workers[2].begin("vault-1", MOST, WINDOW, 101.0) is True
    for worker in workers:
        if worker is not workers[1]:
            worker.end("vault-1", 102.0, good=False)
    workers[2].end("vault-1", 102.0, good=False)
    assert [worker.begin("vault-1", MOST, WINDOW, 103.0) for worker in workers] == [False] * 3
    assert workers[0].begin("vault-1", MOST, WINDOW, 102.0 + WINDOW) is True


def test_groups_count_by_themselves(boards: list[Board]) -> None:
    one, other = (SharedTries(boards[0], 1, group) for group in ("a", "b"))
    one.refused(None, 5.0)
    assert one.begin(None, 1, WINDOW, 6.0) is False
    assert other.begin(None, 1, WINDOW, 6.0) is True


def test_what_a_dead_worker_had_begun_counts_as_refused(boards: list[Board], workers: list[SharedTries]) -> None:
    now = 1e12  # later than any clock of the machine: those of the dead are noted by that
    for _ in range(2):
        assert workers[1].begin("vault-1", MOST, WINDOW, now) is True
    boards[0].clear(2)
    assert workers[0].begin("vault-1", MOST, 2e12, now) is True
    assert workers[2].begin("vault-1", MOST, 2e12, now) is None
    workers[0].end("vault-1", now, good=False)
    assert workers[2].begin("vault-1", MOST, 2e12, now) is False


def test_while_the_lock_cannot_be_had_no_login_goes_and_what_ended_is_noted_later(
    boards: list[Board], workers: list[SharedTries]
) -> None:
    assert workers[0].begin("vault-1", 1, WINDOW, 1.0) is True
    with boards[1].locked():
        assert workers[0].begin("vault-2", MOST, WINDOW, 1.0) is None
        workers[0].end("vault-1", 2.0, good=False)
    assert workers[2].begin("vault-1", 1, WINDOW, 3.0) is None, "it may still be under way"
    assert workers[0].begin("vault-2", MOST, WINDOW, 3.0) is True
    assert workers[2].begin("vault-1", 1, WINDOW, 3.0) is False


def test_an_identity_gives_its_place_up_to_others_only_when_nothing_is_under_way(
    workers: list[SharedTries], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENTRIES", module._WAYS)  # all of them in one place
    for number in range(module._WAYS):
        assert workers[0].begin(f"client {number}", 1, WINDOW, 10.0) is True
    assert workers[1].begin("another", 1, WINDOW, 11.0) is None
    for number in range(module._WAYS):
        workers[0].end(f"client {number}", 12.0 + number, good=False)
    assert workers[1].begin("another", 1, WINDOW, 30.0) is True, "in the place of who was refused longest ago"
    assert workers[1].begin("client 7", 1, WINDOW, 30.0) is False


def test_settings_beyond_what_is_kept_are_not_taken_at_their_word(workers: list[SharedTries]) -> None:
    for _ in range(module._TIMES):
        workers[0].refused("vault-1", 1.0)
    assert workers[0].begin("vault-1", 10_000, WINDOW, 2.0) is False


identities = st.sampled_from(("x", None))


class Together(RuleBasedStateMachine):
    """Three workers, in any order, and one process that is told all of it: they always say the same."""

    @initialize()
    def start(self) -> None:
        self.boards = three_boards()
        self.workers = [SharedTries(board, number, "payments") for number, board in enumerate(self.boards, 1)]
        self.one = LoginTries()
        self.now = 1000.0
        self.begun: list[tuple[int, str | None]] = []

    @rule(worker=st.integers(0, 2), identity=identities, most=st.integers(1, 4))
    def begin(self, worker: int, identity: str | None, most: int) -> None:
        said = self.workers[worker].begin(identity, most, WINDOW, self.now)
        assert said is self.one.begin(identity, most, WINDOW, self.now)
        if said:
            self.begun.append((worker, identity))

    @rule(which=st.integers(0, 20), good=st.booleans())
    def end(self, which: int, good: bool) -> None:
        if self.begun:
            worker, identity = self.begun.pop(which % len(self.begun))
            self.workers[worker].end(identity, self.now, good=good)
            self.one.end(identity, self.now, good=good)

    @rule(worker=st.integers(0, 2), identity=identities)
    def refuse(self, worker: int, identity: str | None) -> None:
        self.workers[worker].refused(identity, self.now)
        self.one.refused(identity, self.now)

    @rule(seconds=st.sampled_from((1.0, 20.0, 61.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    def teardown(self) -> None:
        for board in getattr(self, "boards", ()):
            board.close()


TestTogether = Together.TestCase
TestTogether.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


class _Elsewhere(LoginTries):
    """Another process has a try of that identity under way, as long as `busy`."""

    busy = True

    def begin(self, identity: Hashable, most: int, window: float, now: float) -> bool | None:
        return None if self.busy else super().begin(identity, most, window, now)


def test_a_login_that_another_worker_holds_up_goes_when_that_one_is_answered() -> None:
    fake = FakeGroup().ready()
    fake.group.sessions.tries = tries = _Elsewhere()
    gone: list[float] = []
    asked: list[Asked] = []
    exchange = fake.exchange(b"[AORKLG;]", asked)
    fake.group.sessions.begin_login("vault-1", exchange, gone.append, fake.now)
    fake.wait(0.1)
    assert gone == []
    tries.busy = False
    fake.wait(0.1)
    assert gone == [fake.now]
