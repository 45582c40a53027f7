"""One address that clients connect to: accepting, handshakes, and the clients that came through."""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Callable
from random import Random

import structlog
import trio

from balancer.exchange import Exchange
from balancer.group import Group
from balancer.snapshot import ListenerSnapshot, Outcome
from balancer.transport.dial import prepare, wrapped
from balancer.transport.link import Link
from balancer.transport.peers import Peer, PeerRefused
from balancer.transport.reactor import Reactor

from .arrival import Arrival
from .client import Client
from .descriptors import Descriptors
from .events import Actor, Events, Kind
from .handshakes import Handshakes
from .logs import RateLimited
from .sockets import OfferedSockets, address_of, listen
from .terms import Terms
from .workers import spreading
from .workers.board import Place

_ACCEPTS_PER_TURN = 16
_NO_RULE = "no rule of the group matches the client (unmatched: refuse)"
_NOBODY = "(no certificate)"
_QUIET = 5.0  # seconds without a request: then the next is hardly on its way already
_QUIET_SHARE = 0.2  # of the time over which clients are let go, at most
_PAUSE_WHEN_SHORT = 0.05  # seconds without accepting when descriptors or memory ran out


class Listener:
    """An error of one connection is that connection's own; accepting goes on whatever happens."""

    def __init__(
        self,
        terms: Terms,
        group: Group,
        reactor: Reactor,
        descriptors: Descriptors,
        events: Events,
        place: Place | None = None,
    ) -> None:
        """``place``: among other workers that accept from the same socket."""
        self.terms = terms
        self.clients: set[Client] = set()
        self.draining = False  # requests are answered 908
        self.ending = False  # who still comes through its handshake may go again
        self._spread: Callable[[Client], None] | None = None
        self.bound = ""  # the address with its real port
        self.scope = trio.CancelScope()  # around `serve`
        self.turns = 0  # of the accept loop
        self.waiting = False  # for somebody to come
        self.socket: socket.socket
        self._group = group
        self._reactor = reactor
        self._descriptors = descriptors
        self._events = events
        self._place = place
        self._handshakes = Handshakes(terms.settings.limits.handshakes)
        self._results: dict[str, int] = {}
        self._log = structlog.get_logger(listener=terms.settings.name)
        self._complaints: dict[str, RateLimited] = {}

    def bind(self, offered: OfferedSockets) -> None:
        """Take the address, or the socket that was bound for us; clients wait until `serve` runs. Raises OSError."""
        settings = self.terms.settings
        self.socket = offered.take(settings.name, settings.bind) or listen(settings.bind)
        self.bound = address_of(self.socket)

    async def serve(self) -> None:
        """Accept until `scope` is cancelled, then give the address back; who came before still gets a handshake."""
        try:
            with self.scope, self.socket as sock:
                while True:
                    self.waiting = True
                    await trio.lowlevel.wait_readable(sock)
                    self.waiting = False
                    self.turns += 1
                    await self._handshakes.lull()
                    most = _ACCEPTS_PER_TURN
                    if self._place is not None:
                        most = await self._let_others_go_first(self._place)
                    enough = self._accept(sock, most)
                    self._reactor.flush()
                    if self._place is not None:
                        self._place.beat(self._reactor.clock(), self._descriptors.taken)
                    if not enough:
                        await trio.sleep(_PAUSE_WHEN_SHORT)
            await self._handshakes.over()
        finally:
            for arrival in self._handshakes.leave_all():
                arrival.close()
                self._descriptors.taken -= 1

    @property
    def group_name(self) -> str:
        return self._group.name

    def unbind(self) -> None:
        """Give the address back without ever having served."""
        self.socket.close()

    async def _let_others_go_first(self, place: Place) -> int:
        """A moment, where we have clearly more clients than other workers; gives how many to accept then."""
        ours, others = self._descriptors.taken, place.connections_elsewhere(self._reactor.clock())
        if (pause := spreading.pause(ours, others)) > 0:
            await trio.sleep(pause)
        return min(_ACCEPTS_PER_TURN, spreading.share(ours, others))

    def _accept(self, listening: socket.socket, most: int) -> bool:
        """Take what waits, so many at most; False when something ran short and a pause would help."""
        for _ in range(most):
            try:
                sock, address = listening.accept()
            except BlockingIOError:
                return True
            except OSError as exc:
                if exc.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._complain("accept failed", reason=exc.strerror)
                    return False
                continue  # the connection was gone before it was taken
            crowded = ""
            if len(self.clients) >= self.terms.settings.limits.connections:
                crowded = "limits.connections is reached"
            elif self._descriptors.exhausted and not self._handshakes.make_room():
                crowded = "no descriptors are left for clients"
            if crowded:
                self._turn_away("crowded", address[0], crowded)
                sock.close()
                continue
            self._descriptors.taken += 1
            self._welcome(sock, address[0])
        return True

    def _welcome(self, sock: socket.socket, address: str) -> None:
        """From accepted to shaking hands, or to client where there is nothing to shake; one connection's barrier."""
        terms = self.terms
        arrival = None
        kept = False
        try:
            prepare(sock)
            if terms.tls is None:
                kept = self._take(sock, None, address)
            else:
                sock = tls = wrapped(terms.tls.context, sock)
                arrival = Arrival(self._reactor, tls, address, terms.tls, self)
                self._handshakes.enter(arrival, address, self._reactor.clock() + terms.settings.limits.handshake)
                kept = True
        except Exception as exc:  # noqa: BLE001 - the barrier: a fault of ours costs one connection, not the listener
            self._failed(address, exc)
        finally:
            if not kept:
                if arrival is not None:
                    arrival.close()
                sock.close()
                self._descriptors.taken -= 1

    def shaken(self, arrival: Arrival) -> None:
        """Its handshake is done: from here to client; one connection's barrier."""
        self._handshakes.left(arrival)
        welcomed = False
        try:
            peer = arrival.tls.check(arrival.socket, time.time())
            if arrival.tls is not self.terms.tls:  # a reload came in between
                self.terms.recheck(peer)
            welcomed = self._take(arrival.socket, peer, arrival.address)
        except Exception as exc:  # noqa: BLE001 - the barrier: a fault of ours costs one connection, not the listener
            self._failed(arrival.address, exc)
        finally:
            if not welcomed:
                arrival.socket.close()
                self._descriptors.taken -= 1

    def unshaken(self, arrival: Arrival, exc: Exception) -> None:
        self._handshakes.left(arrival)
        self._descriptors.taken -= 1
        self._failed(arrival.address, exc)

    def late(self, arrival: Arrival) -> None:
        self._descriptors.taken -= 1
        self._turn_away("timeout", arrival.address, "the handshake was not finished in time")

    def _failed(self, address: str, exc: Exception) -> None:
        """Why somebody became no client."""
        if isinstance(exc, PeerRefused):
            self._turn_away("refused", address, str(exc))
        elif isinstance(exc, ssl.SSLError):
            reason = f"TLS: {_reason(exc)}"
            self._refused("refused", address, reason)
            if not isinstance(exc, ssl.SSLEOFError):  # it left: a look whether the port answers is nothing refused
                self._tell_refused("refused", address, reason)
        elif isinstance(exc, OSError):
            self._refused("error", address, (exc.strerror or type(exc).__name__).lower())
        else:
            self._refused("error", address, "a fault of the proxy's own", exc_info=exc)

    def _take(self, sock: socket.socket, peer: Peer | None, address: str) -> bool:
        rules = self.terms.rules.of(peer)
        if rules is None:
            self._turn_away("refused", address, _NO_RULE, peer)
            return False
        if len(self.clients) >= self.terms.settings.limits.connections:
            self._turn_away("crowded", address, "limits.connections is reached", peer)
            return False
        client = Client(self, self._group, rules, self.terms.client, peer, self._reactor.clock())
        client.address = address
        client.attach(Link(self._reactor, sock, client))
        self.clients.add(client)
        self._count("ok")
        if self.draining or self.ending:
            client.end()
        elif self._spread is not None:
            self._spread(client)
        return True

    def client_gone(self, client: Client) -> None:
        self.clients.discard(client)
        self._descriptors.taken -= 1

    def would_block(self, client: Client, code: str) -> None:
        self._group.would_block += 1
        name = client.peer.common_name if client.peer else None
        self._complain("function would be blocked", code=code, client=name)

    def client_fault(self, client: Client, exc: Exception) -> None:
        self._complain("a fault of the proxy's own: a client is given up", exc_info=exc)
        client.close()

    def refused_request(self, client: Client, exchange: Exchange) -> None:
        name = client.peer.common_name if client.peer else None
        code = exchange.code.decode("ascii")  # empty for what is no message
        if exchange.outcome is Outcome.MALFORMED:
            self._events.tell(
                Kind.CLIENT,
                self.terms.settings.name,
                "malformed",
                by=_actor(client),
                detail="what it sent is no message",
            )
        self._complain(f"request not served: {exchange.outcome.value}", code=code, client=name)

    def blocked(self, client: Client, code: str) -> None:
        self._events.tell(Kind.BLOCKED, f"{self._group.name}/{code}", "blocked", by=_actor(client))

    def login_ended(self, client: Client, code: str, result: str) -> None:
        self._events.tell(Kind.LOGIN, f"{self._group.name}/{code}", result, by=_actor(client))

    def sweep(self, now: float) -> None:
        """Called about every second."""
        for client in tuple(self.clients):
            client.sweep(now)

    def expire(self, now: float) -> None:
        """Called every few milliseconds."""
        if self._handshakes:
            self._handshakes.expire(now)

    def adopt(self, terms: Terms, group: Group) -> None:
        """New terms: for new connections, and for those that are open, from the next request on.

        A client whose certificate no longer passes, or that no rule matches any more, is closed; where the group is
        another one, all of them end.
        """
        if group is not self._group:
            self._group = group
            self.end_clients()
        self.terms = terms
        self._log = structlog.get_logger(listener=terms.settings.name)
        self._handshakes.most = terms.settings.limits.handshakes
        for client in tuple(self.clients):
            rules = terms.rules.of(client.peer)
            reason = _NO_RULE
            try:
                terms.recheck(client.peer)
            except PeerRefused as exc:
                self._log.warning("client no longer admitted", reason=str(exc))
                reason, rules = str(exc), None
            if rules is None:
                self._tell_refused("no_longer_admitted", client.address, reason, client.peer)
                client.close()
            elif terms.client.longest < client.longest:
                client.end()  # it reads longer requests than a device can now be sent
            else:
                client.rules = rules

    def retire(self) -> None:
        """It is no longer wanted: nobody new, and who is there goes when owed nothing."""
        self.stop_accepting()
        self.ending = True
        self.end_clients()

    def stop_accepting(self) -> None:
        self.scope.cancel()

    def end_clients(self) -> None:
        """Nothing more is taken from them; each goes when it is owed nothing."""
        for client in tuple(self.clients):
            client.end()

    def spread_clients(self, seconds: float, random: Random) -> None:
        """Each goes when it is quiet, from a moment on within so many seconds that is its own; later ones too."""
        now = self._reactor.clock()
        quiet = min(_QUIET, seconds * _QUIET_SHARE)

        def leave(client: Client) -> None:
            client.leave_from(now + random.uniform(0.0, seconds), quiet)

        self._spread = leave
        for client in self.clients:
            leave(client)

    def close_clients(self) -> None:
        for client in tuple(self.clients):
            client.close()

    @property
    def handshaking(self) -> int:
        """Connections that were accepted and are not clients yet."""
        return len(self._handshakes)

    def snapshot(self) -> ListenerSnapshot:
        kinds = {"shared": 0, "session": 0, "pinned": 0}
        for client in self.clients:
            kinds[client.kind] += 1
        return ListenerSnapshot(
            name=self.terms.settings.name,
            bind=self.bound,
            group=self._group.name,
            connections=kinds,
            handshaking=len(self._handshakes),
            handshakes=dict(self._results),
            limit=self.terms.settings.limits.connections,
        )

    def _refused(self, result: str, address: str, reason: str, **more: object) -> None:
        self._count(result)
        self._complain("client refused", address=address, reason=reason, **more)

    def _turn_away(self, result: str, address: str, reason: str, peer: Peer | None = None) -> None:
        """Counted, complained of, and told as an event."""
        self._refused(result, address, reason)
        self._tell_refused(result, address, reason, peer)

    def _tell_refused(self, result: str, address: str, reason: str, peer: Peer | None = None) -> None:
        by = Actor(name=_NOBODY if peer is None else _name(peer), source=address)
        self._events.tell(Kind.CLIENT, self.terms.settings.name, result, by=by, detail=reason)

    def _count(self, result: str) -> None:
        self._results[result] = self._results.get(result, 0) + 1

    def _complain(self, event: str, **facts: object) -> None:
        """Once a second for each kind of event: a flood of bad clients must not become a flood of lines."""
        limit = self._complaints.setdefault(event, RateLimited())
        held_back = limit.admit(self._reactor.clock())
        if held_back is not None:
            self._log.warning(event, held_back=held_back, **facts)


def _actor(client: Client) -> Actor:
    return Actor(name=_NOBODY if client.peer is None else _name(client.peer), source=client.address)


def _name(peer: Peer) -> str:
    """Never what a message says: whoever sends it can write there what it likes."""
    return peer.common_name or peer.fingerprint


def _reason(exc: ssl.SSLError) -> str:
    reason = (exc.reason or "error").lower().replace("_", " ")
    return f"{reason}: {exc.verify_message}" if isinstance(exc, ssl.SSLCertVerificationError) else reason
