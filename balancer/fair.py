"""The queue of a group: fair between its clients by the work they ask for. Pure.

Start-time fair queueing. Each client has a clock of its own that moves on by what each of its requests usually takes;
the client whose clock is furthest behind is next. So a client that queues key generations gets as much of the devices'
time as one that queues ECHOs, and not as many requests; nobody who waits is passed over for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush, heapreplace

from .cost import UNKNOWN_COST
from .exchange import Exchange
from .snapshot import Outcome


class Share:
    """What one client has in one group's queue. Made by the client, seen by nobody but the queue.

    It outlives the client's stay in the queue, so that who asks for one key pair at a time pays for each; it dies with
    the client.
    """

    __slots__ = ("start", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Exchange] = []  # short; an empty deque has 760 bytes, and most clients are quiet
        self.start = 0.0  # the client's clock: seconds of work


class FairQueue:
    """Exchanges wait here while no device has room.

    First come those that were sent before and failed: they stand at the head, in order, and belong to no share. Then
    the clients' own, in order for each client. Taking one costs the logarithm of the number of clients that wait,
    everything else nothing that grows, but `expire`.
    """

    def __init__(self) -> None:
        self._resent: deque[Exchange] = deque()
        self._turns: list[tuple[float, int, Share]] = []  # a heap of those that wait, by their clocks, then by arrival
        self._arrivals = 0
        self._size = 0
        self._now = 0.0  # the clock of the client served last: who comes back later than that starts from here
        self._latest = 0.0  # the clock that is furthest ahead
        self._ours = Share()  # of exchanges of the proxy's own
        self._crowds: dict[int, dict[Share, None]] = {}  # the shares that have two and more waiting, by their number
        self._most = 1  # the highest of these numbers

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Exchange]:
        """All that wait, in no promised order."""
        yield from self._resent
        for _, _, share in self._turns:
            yield from share.waiting

    def append(self, exchange: Exchange) -> None:
        share = exchange.client or self._ours
        share.waiting.append(exchange)
        self._size += 1
        count = len(share.waiting)
        if count > 1:
            self._moved(share, count - 1, count)
            return
        if share.start < self._now:
            share.start = self._now
        self._arrivals += 1
        heappush(self._turns, (share.start, self._arrivals, share))

    def appendleft(self, exchange: Exchange) -> None:
        """To the head: it was sent before, and failed."""
        self._resent.appendleft(exchange)
        self._size += 1

    def put_back(self, exchanges: Iterable[Exchange]) -> None:
        """To the head, in this order: what was sent before."""
        found = list(exchanges)
        self._resent.extendleft(reversed(found))
        self._size += len(found)

    @property
    def head(self) -> Exchange:
        """Who is next; there must be one."""
        return self._resent[0] if self._resent else self._turns[0][2].waiting[0]

    def popleft(self, costs: Mapping[bytes, float]) -> Exchange:
        """Take the next; there must be one. ``costs``: seconds that commands usually take where it will be sent."""
        if self._resent:
            self._size -= 1
            return self._resent.popleft()
        start, _, share = self._turns[0]
        exchange = share.waiting.pop(0)
        self._size -= 1
        if not exchange.finished:  # else it is dropped, and costs its client nothing
            self._now = start
            share.start = start + costs.get(exchange.code, UNKNOWN_COST)
            if share.start > self._latest:
                self._latest = share.start
        count = len(share.waiting)
        if count:
            self._moved(share, count + 1, count)
            self._arrivals += 1
            heapreplace(self._turns, (share.start, self._arrivals, share))
        else:
            heappop(self._turns)
            if not self._turns:
                self._now = self._latest  # nobody waited for anybody: no debts
        return exchange

    def displaced_by(self, exchange: Exchange) -> Exchange | None:
        """Take out what gives way to this one where the queue is full; None where it must not come in itself.

        That is the newest of the client with the most waiting, if that has more than this one's client would have.
        """
        mine = len((exchange.client or self._ours).waiting)
        if self._most <= mine + 1:
            return None
        share = next(iter(self._crowds[self._most]))
        self._size -= 1
        self._moved(share, self._most, self._most - 1)
        return share.waiting.pop()

    def expire(self, now: float) -> list[Exchange]:
        """Take out what has waited too long, and drop what nobody waits for any more."""
        expired: list[Exchange] = []
        self._resent = still_waiting(self._resent, now, expired)
        size = len(self._resent)
        for _, _, share in self._turns:
            before = len(share.waiting)
            kept = _kept(share.waiting, now, expired)
            if kept is not None:
                share.waiting = kept
                if len(kept) != before:
                    self._moved(share, before, len(kept))
            size += len(share.waiting)
        if size != self._size:
            self._size = size
            self._turns = [turn for turn in self._turns if turn[2].waiting]
            heapify(self._turns)
            if not self._turns:
                self._now = self._latest
        return expired

    def _moved(self, share: Share, before: int, after: int) -> None:
        """Keep `_crowds` and `_most` true. Who has one waiting, as most clients do, is not in them."""
        if before > 1:
            del self._crowds[before][share]
        if after > 1:
            self._crowds.setdefault(after, {})[share] = None
            if after > self._most:
                self._most = after
        while self._most > 1 and not self._crowds[self._most]:
            self._most -= 1


def enter(exchange: Exchange, queue: FairQueue | deque[Exchange], shared: FairQueue, size: int) -> None:
    """Let the exchange wait in ``queue``. Where ``shared`` has ``size`` already, one in it gives way, or this.

    What gives way is BUSY, and was never sent.
    """
    if len(shared) < size:
        queue.append(exchange)
        return
    displaced = shared.displaced_by(exchange)
    if displaced is not None:
        queue.append(exchange)
    (displaced or exchange).finish(Outcome.BUSY, None)


def still_waiting(queue: deque[Exchange], now: float, expired: list[Exchange]) -> deque[Exchange]:
    """The queue without what has waited too long, which is added to ``expired``, and without what is finished."""
    kept = _kept(queue, now, expired)
    return queue if kept is None else deque(kept)


def _kept(queue: Iterable[Exchange], now: float, expired: list[Exchange]) -> list[Exchange] | None:
    """What stays; None where that is all."""
    if all(not exchange.finished and now < exchange.wait_until for exchange in queue):
        return None
    kept: list[Exchange] = []
    for exchange in queue:
        if exchange.finished:
            continue
        if now < exchange.wait_until:
            kept.append(exchange)
        else:
            expired.append(exchange)
    return kept
