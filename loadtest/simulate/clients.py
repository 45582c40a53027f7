"""Who asks: clients that wait for each answer, or arrivals that wait for nobody."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, Protocol

from balancer.exchange import Exchange
from balancer.fair import Share
from balancer.group import Group

from .tally import Tally
from .timeline import Timeline
from .workload import Draws, Kind

_NEXT: Final = 0.0001  # seconds from an answer to the client's next request
_AFTER_A_FAILURE: Final = 0.01  # the same where it was told that there is no device
_OPEN_CLIENTS: Final = 64  # whose arrivals an open load is


class _Client:
    """One connection: the worker that accepted it, and its share of that one's queue."""

    __slots__ = ("group", "share")

    def __init__(self, group: Group) -> None:
        self.group = group
        self.share = Share()


class Load(Protocol):
    def start(self) -> None: ...


class Closed:
    """Each client asks, waits for the answer, and asks again."""

    def __init__(
        self,
        groups: Sequence[Group],
        clients: int,
        mix: Sequence[Kind],
        tally: Tally,
        timeline: Timeline,
        random: Random,
    ) -> None:
        self._clients = [_Client(groups[number % len(groups)]) for number in range(clients)]
        self._draws = Draws(mix, random)
        self._tally = tally
        self._timeline = timeline
        self._asking: dict[Exchange, _Client] = {}
        self._random = random

    def start(self) -> None:
        for client in self._clients:
            self._timeline.after(self._random.uniform(0.0, 0.01), self._ask, client)

    def _ask(self, client: _Client) -> None:
        kind, now, group = self._draws.next(), self._timeline.now, client.group
        command = group.commands.find(kind.code)
        exchange = Exchange(kind.request, kind.code, None, command, None, self._done, now, client.share)
        self._asking[exchange] = client
        group.submit(exchange, now)

    def _done(self, exchange: Exchange) -> None:
        now = self._timeline.now
        self._tally.ended(exchange, now)
        client = self._asking.pop(exchange)
        self._timeline.after(_NEXT if exchange.answer is not None else _AFTER_A_FAILURE, self._ask, client)


class Open:
    """Requests come at random moments (Poisson), whatever becomes of those before."""

    def __init__(
        self,
        groups: Sequence[Group],
        rate: float,
        mix: Sequence[Kind],
        tally: Tally,
        timeline: Timeline,
        random: Random,
    ) -> None:
        """``rate``: requests a second, of all together."""
        self._clients = [_Client(groups[number % len(groups)]) for number in range(max(_OPEN_CLIENTS, len(groups)))]
        self._rate = rate
        self._draws = Draws(mix, random)
        self._tally = tally
        self._timeline = timeline
        self._random = random

    def start(self) -> None:
        self._timeline.after(self._random.expovariate(self._rate), self._arrives)

    def _arrives(self) -> None:
        random, now = self._random, self._timeline.now
        self._timeline.at(now + random.expovariate(self._rate), self._arrives)
        client = self._clients[int(random.random() * len(self._clients))]
        kind, group = self._draws.next(), client.group
        command = group.commands.find(kind.code)
        group.submit(Exchange(kind.request, kind.code, None, command, None, self._done, now, client.share), now)

    def _done(self, exchange: Exchange) -> None:
        self._tally.ended(exchange, self._timeline.now)
