from __future__ import annotations

import pytest

from balancer.retry import RetryBudget, may_resend
from config.catalogue import Effect
from config.model import Retries
from tests.support.core import CATALOGUE, FakeGroup


class TestBudget:
    def test_the_reserve_may_be_spent_at_once(self) -> None:
        budget = RetryBudget(Retries(budget=0.0, reserve=3))
        assert [budget.spend() for _ in range(4)] == [True, True, True, False]

    @pytest.mark.parametrize("reserve", [0, 1, 100])
    @pytest.mark.parametrize("share", [0.1, 0.2, 1.0, 3.0])
    def test_resends_are_a_share_of_the_requests_beyond_the_reserve(self, share: float, reserve: int) -> None:
        budget = RetryBudget(Retries(budget=share, reserve=reserve))
        resends = 0
        for _ in range(1000):
            budget.earn()
            while budget.spend():
                resends += 1
        assert resends == pytest.approx(1000 * share + reserve, abs=2 + share)

    def test_what_is_not_spent_does_not_pile_up(self) -> None:
        budget = RetryBudget(Retries(budget=0.5, reserve=2))
        for _ in range(1000):
            budget.earn()
        assert sum(budget.spend() for _ in range(1000)) <= 3

    def test_nothing_allowed_is_nothing(self) -> None:
        budget = RetryBudget(Retries(budget=0.0, reserve=0))
        budget.earn()
        assert not budget.spend()


@pytest.mark.parametrize("command", list(CATALOGUE), ids=lambda command: command.name)
def test_only_what_acts_once_however_often_it_is_sent_is_sent_again(command) -> None:  # type: ignore[no-untyped-def]
    exchange = FakeGroup().exchange(b"[AO%b;]" % command.name.encode(), [])
    budget = RetryBudget(Retries())
    assert may_resend(exchange, Retries(), budget, written=False)
    assert may_resend(exchange, Retries(), budget, written=True) == (command.effect in (Effect.READ, Effect.DEVICE))


def test_a_command_that_nobody_knows_is_never_sent_again() -> None:
    exchange = FakeGroup().exchange(b"[AOZZZ9;]", [])
    assert not may_resend(exchange, Retries(), RetryBudget(Retries()), written=True)


def test_only_so_often() -> None:
    exchange = FakeGroup().exchange(b"[AOECHO;]", [])
    exchange.resent = 2
    assert not may_resend(exchange, Retries(attempts=2), RetryBudget(Retries()), written=True)
    assert may_resend(exchange, Retries(attempts=3), RetryBudget(Retries()), written=True)


@pytest.mark.parametrize("written", [False, True])
def test_neither_a_ping_nor_what_has_an_owner_goes_elsewhere(written: bool) -> None:
    group = FakeGroup().ready()
    owned = group.exchange(b"[AOECHO;]", [], group.pin())
    ping = group.exchange(b"[AOECHO;]", [], ping=True)
    for exchange in (owned, ping):
        assert not may_resend(exchange, Retries(), RetryBudget(Retries()), written=written)
