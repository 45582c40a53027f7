"""Who is told of each exchange as its client gets the answer: learning, `guardian tail`, and whoever else watches.

A group has one pointer, `Group.observer`, and it is None while nobody watches: that is all that this costs then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import attrs
import structlog

from balancer.exchange import Exchange
from balancer.group import Group

from .tailing import Tail, Wanted

# observe(group's name, client, exchange): on the data path, so it must neither wait nor take long
Observe = Callable[[str, object, Exchange], None]


@attrs.frozen(eq=False)
class _Watcher:
    observe: Observe
    group: str | None  # None: all of them


class Completions:
    """Several watchers, one pointer for each group. `regroup` after groups came or went."""

    def __init__(self, groups: Callable[[], Mapping[str, Group]], clock: Callable[[], float] = time.monotonic) -> None:
        """``clock``: seconds, that of the exchanges."""
        self.clock = clock
        self._groups = groups
        self._watchers: tuple[_Watcher, ...] = ()
        self._pointed: tuple[Group, ...] = ()  # whose observer is ours

    def watch(self, observe: Observe, group: str | None = None) -> Callable[[], None]:
        """Tell ``observe`` of every exchange of that group, or of all. Gives what ends it, once and for good.

        One that raises is told nothing more; the clients get their answers.
        """
        watcher = _Watcher(observe, group)
        self._watchers = (*self._watchers, watcher)
        self.regroup()
        return lambda: self._end(watcher)

    def tail(self, wanted: Wanted, wake: Callable[[], None]) -> Tail:
        """``wake`` is called when there is something to take where nothing was. Ends by `Tail.end`."""
        tail = Tail(wanted, self.clock, time.time, wake)
        tail.end = self.watch(tail.observe, wanted.group)
        return tail

    def regroup(self) -> None:
        """Point the groups that there are now at who watches them, and let go of those that are gone."""
        groups = self._groups()
        for former in self._pointed:
            former.observer = None
        for name, group in groups.items():
            told = tuple(watcher for watcher in self._watchers if watcher.group in (None, name))
            group.observer = self._teller(name, told) if told else None
        self._pointed = tuple(group for group in groups.values() if group.observer is not None)

    def _teller(self, name: str, told: tuple[_Watcher, ...]) -> Callable[[object, Exchange], None]:
        def tell(client: object, exchange: Exchange) -> None:
            for watcher in told:
                try:
                    watcher.observe(name, client, exchange)
                except Exception as exc:  # noqa: BLE001 - the barrier: the client must get its answer
                    self._end(watcher)
                    # The kind only: the text of a fault could hold what was being looked at.
                    structlog.get_logger().error("a watcher failed and is told no more", fault=type(exc).__name__)

        return tell

    def _end(self, watcher: _Watcher) -> None:
        if watcher in self._watchers:
            self._watchers = tuple(each for each in self._watchers if each is not watcher)
            self.regroup()
