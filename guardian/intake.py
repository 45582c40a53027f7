"""Where clients come in: the listeners of a configuration, who is let in, and how clients are let go of."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from random import Random
from typing import Final

import attrs
import trio

from balancer.snapshot import ListenerSnapshot
from balancer.transport.reactor import Reactor
from balancer.transport.tls import ServerSide
from config import model
from config.model import Config

from .answers import Answers
from .descriptors import Descriptors
from .events import Events
from .groups import RunningGroup
from .host import ClientSettings
from .listener import Listener
from .sockets import OfferedSockets
from .terms import Terms
from .workers.board import Place

_BEAT: Final = 0.1  # seconds between signs of life to other workers


@attrs.frozen
class Bound:
    """The listeners of a configuration that is not adopted yet."""

    listeners: dict[str, Listener]  # by bind, or by name where the kernel chose the port
    fresh: set[Listener]  # those that nobody serves yet


class Intake:
    """Start `run` in a nursery; a configuration comes in two steps, `bind`, which may fail, and `adopt`."""

    def __init__(
        self,
        reactor: Reactor,
        random: Random,
        descriptors: Descriptors,
        events: Events,
        offered: OfferedSockets,
        place: Place | None = None,
    ) -> None:
        """``offered``: sockets bound for us. ``place``: among other workers that accept from the same sockets."""
        self._reactor = reactor
        self._random = random
        self._descriptors = descriptors
        self._events = events
        self._offered = offered
        self._place = place
        self._accepting = True
        self._listeners: dict[str, Listener] = {}  # as in `Bound`
        self._ending: list[Listener] = []  # taken out, with clients that are still owed an answer, or who shake hands
        self._nursery: trio.Nursery

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; then nobody is accepted, and who is in its handshake is let go of. Clients stay."""
        async with trio.open_nursery() as self._nursery:
            if self._place is not None:
                self._nursery.start_soon(self._take_part, self._place)
            task_status.started()
            await trio.sleep_forever()

    # --- the configuration ---------------------------------------------------------------------------------------

    def bind(self, config: Config, groups: Mapping[str, RunningGroup], sides: Mapping[str, ServerSide | None]) -> Bound:
        """Those that are there, and new ones with their addresses.

        Raises OSError, and then nothing has changed.
        """
        listeners: dict[str, Listener] = {}
        fresh: set[Listener] = set()
        try:
            for settings in config.listeners:
                where = str(settings.bind) if settings.bind.port else settings.name
                listener = self._listeners.get(where)
                if listener is None:
                    running = groups[settings.group]
                    terms = _terms(config, settings, sides[settings.name], running)
                    group = running.group
                    listener = Listener(terms, group, self._reactor, self._descriptors, self._events, self._place)
                    listener.bind(self._offered)
                    fresh.add(listener)
                listeners[where] = listener
        except OSError as exc:
            for listener in fresh:
                listener.unbind()
            raise OSError(exc.errno, f"{settings.bind}: {exc.strerror}") from exc
        return Bound(listeners, fresh)

    def adopt(
        self,
        bound: Bound,
        config: Config,
        groups: Mapping[str, RunningGroup],
        sides: Mapping[str, ServerSide | None],
    ) -> None:
        """Make what `bind` gave for this configuration the listeners, and let the others go."""
        kept = set(bound.listeners.values())
        for listener in self._listeners.values():
            if listener not in kept:
                listener.retire()
                self._ending.append(listener)
        for listener, settings in zip(bound.listeners.values(), config.listeners, strict=True):
            running = groups[settings.group]
            listener.adopt(_terms(config, settings, sides[settings.name], running), running.group)
            if listener in bound.fresh and self._accepting:
                self._nursery.start_soon(listener.serve)
        self._listeners = bound.listeners

    # --- clients -------------------------------------------------------------------------------------------------

    def hold_back(self) -> None:
        """Before the first configuration: nobody is let in until `let_in`; who comes waits in the sockets."""
        self._accepting = False

    def let_in(self) -> None:
        if not self._accepting:
            self._accepting = True
            for listener in self._listeners.values():
                self._nursery.start_soon(listener.serve)

    def stop_accepting(self) -> None:
        """Nobody new; handshakes that were begun are ended well, and requests served."""
        for listener in self.all:
            listener.stop_accepting()

    def refuse_requests(self) -> None:
        """From now on they are answered 908."""
        for listener in self.all:
            listener.draining = True

    def spread_clients(self, seconds: float) -> None:
        """Let go of those that are quiet, at moments spread over so many seconds."""
        for listener in self.all:
            listener.spread_clients(seconds, self._random)

    def end_clients(self) -> None:
        for listener in self.all:
            listener.end_clients()
        self._reactor.flush()

    def close_clients(self) -> None:
        for listener in self.all:
            listener.close_clients()

    def sweep(self, now: float) -> None:
        """Called about every second."""
        for listener in self.all:
            listener.sweep(now)
        self._ending = [listener for listener in self._ending if listener.clients or listener.handshaking]

    def expire(self, now: float) -> None:
        """Called every few milliseconds: end handshakes that take too long."""
        for listener in self.all:
            listener.expire(now)

    async def _take_part(self, place: Place) -> None:
        """Among other workers: say that we are alive, and how many clients we have."""
        while True:
            accepting = self._accepting and not all(listener.scope.cancel_called for listener in self.listeners)
            place.beat(self._reactor.clock(), self._descriptors.taken if accepting else None)
            await trio.sleep(_BEAT)

    # --- what there is -------------------------------------------------------------------------------------------

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Those of the configuration."""
        return tuple(self._listeners.values())

    @property
    def all(self) -> tuple[Listener, ...]:
        """Those too that were taken out and still have clients."""
        return (*self._listeners.values(), *self._ending)

    @property
    def addresses(self) -> dict[str, str]:
        """Where each listener listens, with its real port, by name."""
        return {listener.terms.settings.name: listener.bound for listener in self._listeners.values()}

    @property
    def sockets(self) -> list[tuple[str, socket.socket]]:
        """What listens, by the listener's name."""
        return [(listener.terms.settings.name, listener.socket) for listener in self._listeners.values()]

    @property
    def clients(self) -> int:
        return sum(len(listener.clients) for listener in self.all)

    @property
    def handshaking(self) -> int:
        return sum(listener.handshaking for listener in self.all)

    @property
    def owed(self) -> int:
        """How many clients wait for an answer."""
        return sum(client.busy for listener in self.all for client in listener.clients)

    def snapshot(self) -> tuple[ListenerSnapshot, ...]:
        return tuple(listener.snapshot() for listener in self._listeners.values())


def _terms(config: Config, settings: model.Listener, side: ServerSide | None, running: RunningGroup) -> Terms:
    limit = settings.limits.message
    client = ClientSettings(
        framing=settings.framing,
        limits=settings.limits,
        answers=Answers(config.errors),
        longest=min(limit, running.longest_request or limit),
    )
    return Terms(settings=settings, tls=side, rules=running.rules, client=client)
