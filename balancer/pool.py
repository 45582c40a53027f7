"""Keeps one device's connections open and its health known: the trio side of a device."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from random import Random

import trio

from config.catalogue import Effect
from config.model import Context, Framing
from health.backoff import Backoff
from health.checker import Alarm, PingFailed, check
from health.state import Health

from .command import CommandCount, GroupCommand
from .device import Device
from .exchange import Exchange
from .group import Group
from .owner import Owner
from .probing import Prober
from .snapshot import Will
from .stamps import EchoTrial, Stamps
from .transport.dial import DialError
from .transport.link import Link
from .transport.reactor import Reactor
from .upstream import Upstream
from .wire.message import is_error, parse_request

_FRESH_EVERY = 10  # each so many pings one travels on a new connection, to see that new ones still work
_WARM_BACKUP = 2  # connections of a device that does not serve, so that it can serve at once
_DIALS_AT_ONCE = 4
_MAINTENANCE_LOOK = 1.0  # seconds between looks whether maintenance is over

Connect = Callable[[], Awaitable[socket.socket]]  # a handshaken socket, or raises DialError
_PING = GroupCommand(
    code=b"", label="ping", effect=Effect.READ, multipart=False, known=True, count=CommandCount((1.0,))
)


class DeviceKeeper:
    """Run `run` in a nursery for as long as the device is in the group; cancel it to let go of the device.

    It alone dials the device, never more often than its backoff allows, whatever asks for connections.
    """

    def __init__(self, group: Group, device: Device, connect: Connect, reactor: Reactor, random: Random) -> None:
        self._group = group
        self._device = device
        self._connect = connect
        self._reactor = reactor
        self._backoff = Backoff(random)
        self._alarm = Alarm()  # rung for a ping
        self._work = trio.Event()  # set for the pool
        self._wanted_by: list[Owner] = []
        self._running = False  # else nobody would close what is opened
        self._pings = 0
        self._answers_seen = 0
        self._prober = Prober(group, device, reactor.clock, self._changed, random)
        device.keeper = self
        group.likeness.enlist(device, self._prober.wake, self.ask, reactor.clock())

    def reconnect_with(self, connect: Connect) -> None:
        """New connections are made this way; those that are open stay."""
        self._connect = connect

    def wake(self) -> None:
        self._work.set()
        if self._device.tracker.suspect or self._device.health is Health.UNKNOWN:
            self._alarm.ring()

    def open_private(self, owner: Owner) -> None:
        self._wanted_by.append(owner)
        self._work.set()

    def look(self) -> None:
        self._alarm.ring()

    def lost_unused(self) -> None:
        self._backoff.failed(self._reactor.clock())

    async def run(self) -> None:
        """Until cancelled; then every connection is closed."""
        self._running = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    check, self._device.tracker, self._ping, self._changed, self._alarm, self._reactor.clock
                )
                nursery.start_soon(self._prober.run)
                await self._fill(nursery)
        finally:
            self._running = False
            with ExitStack() as each:  # closes all of them, whatever comes up at one
                for upstream in (*self._device.upstreams, *self._device.private):
                    each.callback(upstream.close, "the device was let go")
            self._reactor.flush()

    def _changed(self) -> None:
        self._group.changed(self._device)
        self._prober.wake()
        self._reactor.flush()

    async def _fill(self, nursery: trio.Nursery) -> None:
        device = self._device
        while True:
            self._work = trio.Event()
            wait = self._backoff.wait(self._reactor.clock())
            while not wait and self._wanted_by:
                owner = self._wanted_by.pop()
                if owner.over:
                    owner.open_failed(device, self._reactor.clock())
                else:
                    nursery.start_soon(self._open, owner)
            missing = self._target() - len(device.upstreams) - device.dialling
            room = (_DIALS_AT_ONCE if not self._backoff.failures else 1) - device.dialling
            if not wait:
                for _ in range(min(missing, room)):
                    nursery.start_soon(self._open, None)
                    device.dialling += 1
            with trio.move_on_after(wait or float("inf")):
                await self._work.wait()

    def _target(self) -> int:
        """How many shared connections there should be now."""
        device = self._device
        if device.health not in (Health.UP, Health.PROBATION) or device.will is Will.MAINT or device.leaving:
            return 0
        full = device.settings.connections
        return full if device.serving or device.on_trial else min(_WARM_BACKUP, full)

    async def _open(self, owner: Owner | None) -> None:
        """Open one connection for the pool, or for an owner."""
        device = self._device
        upstream: Upstream | None = None
        try:
            upstream = await self._dial(owner)
        except DialError as exc:
            if exc.refused and not device.upstreams:
                device.tracker.ping_failed(str(exc), self._reactor.clock(), for_certain=True)
                self._changed()
        finally:
            if owner is None:
                device.dialling -= 1
            elif upstream is None:
                owner.open_failed(device, self._reactor.clock())
            self._work.set()
        now = self._reactor.clock()
        if upstream is not None and owner is None and not self._target():
            upstream.close("it is no longer wanted")
        elif upstream is not None:
            self._group.upstream_opened(upstream, now)
            self._prober.wake()
        self._reactor.flush()

    async def _dial(self, owner: Owner | None) -> Upstream:
        """A connected upstream that the group does not know yet. Raises DialError."""
        while True:
            connect = self._connect
            upstream = await self._dial_by(connect, owner)
            if connect is self._connect:
                return upstream
            upstream.link.close()  # a reload came in between: its device may be trusted no longer

    async def _dial_by(self, connect: Connect, owner: Owner | None) -> Upstream:
        device, settings = self._device, self._group.settings
        try:
            sock = await connect()
        except DialError as exc:
            self._backoff.failed(self._reactor.clock())
            if exc.stranger:
                self.distrust(str(exc))
            raise
        self._reactor.catch_up()  # else the device was lost before it was here again, and we heard of it afterwards
        framing = device.settings.framing or settings.framing
        link, stamps = await self._tried(sock, framing) if settings.context is Context.INJECT else (None, None)
        upstream = Upstream(
            device,
            self._group,
            framing=framing,
            longest=settings.answer,
            verify_context=settings.context is not Context.OFF,
            owner=owner,
            now=self._reactor.clock(),
            stamps=stamps,
        )
        if link is None:
            link = Link(self._reactor, sock, upstream)
        else:
            link.hand_over(upstream)
        upstream.attach(link)
        return upstream

    async def _tried(self, sock: socket.socket, framing: Framing) -> tuple[Link, Stamps | None]:
        """A connection on which the device has shown whether it gives ``AG`` back; Stamps where it does.

        Raises DialError where it shows nothing at all.
        """
        group, device = self._group, self._device
        prefix = secrets.token_hex(4).upper().encode()
        ended = trio.Event()
        trial = EchoTrial(prefix, framing, group.settings.answer, ended.set)
        link = Link(self._reactor, sock, trial)
        try:
            device.spend(self._reactor.clock())
            link.write(trial.request)
            self._reactor.flush()
            with trio.move_on_after(device.settings.ping_timeout or group.settings.ping.timeout):
                await ended.wait()
        except BaseException:  # cancelled, perhaps just as the answer came: nobody else knows the link
            link.close()
            raise
        self._reactor.catch_up()
        if trial.echoes is None:
            link.close()
        if not link.open:
            self._backoff.failed(self._reactor.clock())
            raise DialError("no good answer to ECHO on a new connection")
        if not trial.echoes:
            group.tell("device does not repeat AG: its answers are verified only", device=device.name)
        return link, Stamps(prefix, framing) if trial.echoes else None

    def distrust(self, reason: str) -> None:
        """Whoever answers there is not the device: nothing more is sent on any connection to it."""
        self._device.tracker.distrust(reason, self._reactor.clock())
        self._changed()
        for upstream in (*self._device.upstreams, *self._device.private):
            upstream.close(reason)

    async def _ping(self) -> float:
        """Ask once, and give the seconds it took. Raises PingFailed. Waits while the device is in maintenance."""
        device = self._device
        while device.will is Will.MAINT:
            await self._alarm.wait(_MAINTENANCE_LOOK)
        self._pings += 1
        fresh = self._pings % _FRESH_EVERY == 0
        if not device.free and device.upstreams and self._answered_lately():
            return device.tracker.last_ping or 0.0  # busy with real requests, which are the better pings
        if fresh or not device.free:
            await trio.sleep(self._backoff.wait(self._reactor.clock()))
        request = self._group.settings.ping.request.encode()
        exchange, answered = self._request_of_ours(request)
        timeout = device.settings.ping_timeout or self._group.settings.ping.timeout
        with trio.move_on_after(timeout):
            if fresh or not device.free:
                await self._send_on_fresh_connection(exchange)
            else:
                self._group.send_ping(device, exchange, exchange.arrived)
            self._reactor.flush()
            started = self._reactor.clock()
            await answered.wait()
            return self._judge(exchange, self._reactor.clock() - started)
        self._give_up(exchange)
        raise PingFailed(f"no answer to a ping within {timeout:g} s")

    async def ask(self, request: bytes, timeout: float) -> bytes:
        """Send a request of our own, which counts as nobody's, and give its answer. Raises PingFailed."""
        exchange, answered = self._request_of_ours(request)
        with trio.move_on_after(timeout):
            if self._device.free:
                self._group.send_ping(self._device, exchange, exchange.arrived)
            else:
                await trio.sleep(self._backoff.wait(exchange.arrived))
                await self._send_on_fresh_connection(exchange)
            self._reactor.flush()
            await answered.wait()
            if exchange.answer is None:
                raise PingFailed("the connection broke")
            return exchange.answer
        self._give_up(exchange)
        raise PingFailed(f"no answer within {timeout:g} s")

    def _request_of_ours(self, request: bytes) -> tuple[Exchange, trio.Event]:
        """A request that counts as nobody's, made now, and what is set when it has ended."""
        answered = trio.Event()
        code, context = parse_request(request)
        now = self._reactor.clock()
        exchange = Exchange(request, code, context, _PING, None, lambda _: answered.set(), now, is_ping=True)
        return exchange, answered

    async def _send_on_fresh_connection(self, exchange: Exchange) -> None:
        try:
            upstream = await self._dial(None)
        except DialError as exc:
            raise PingFailed(str(exc), for_certain=exc.refused and not self._device.upstreams) from exc
        if not self._running:  # it was another device's keeper that asked
            upstream.link.close()
            raise PingFailed("the device was let go")
        if self._device.health is Health.UNSAFE:
            self._device.tracker.clear(self._reactor.clock())
        self._group.adopt(upstream)
        upstream.send(exchange, self._reactor.clock())

    def _judge(self, exchange: Exchange, seconds: float) -> float:
        if exchange.answer is None:
            raise PingFailed("the connection broke during a ping")
        if self._group.settings.ping.accept != "answer" and is_error(exchange.answer):
            raise PingFailed("a ping was answered with an error")
        self._backoff.succeeded()
        device = self._device
        for upstream in tuple(device.upstreams)[device.settings.connections :]:
            if not upstream.outstanding:
                upstream.close("more connections than wanted")
        return seconds

    def _give_up(self, ping: Exchange) -> None:
        """Wait for it no longer. A connection that leaves it unanswered, and has nothing else to lose, is of no use."""
        ping.abandon()
        for upstream in tuple(self._device.upstreams):
            if [attempt.exchange for attempt in upstream.outstanding] == [ping]:
                upstream.close("a ping was not answered")
        self._reactor.flush()

    def _answered_lately(self) -> bool:
        """Whether real requests were answered since this was last asked."""
        seen, self._answers_seen = self._answers_seen, self._device.ok
        return self._answers_seen > seen
