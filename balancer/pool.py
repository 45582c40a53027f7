"""Keeps one device's connections open and its health known: the trio side of a device."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from random import Random

import trio

from config.catalogue import Effect
from config.model import Context
from health.backoff import Backoff
from health.checker import Alarm, PingFailed, check
from health.state import Health

from .command import CommandCount, GroupCommand
from .device import Device
from .exchange import Exchange
from .group import Group
from .pin import Pin
from .snapshot import Will
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
        self._wanted_by: list[Pin] = []
        self._pings = 0
        self._answers_seen = 0
        device.keeper = self

    def reconnect_with(self, connect: Connect) -> None:
        """New connections are made this way; those that are open stay."""
        self._connect = connect

    def wake(self) -> None:
        self._work.set()
        if self._device.tracker.suspect or self._device.health is Health.UNKNOWN:
            self._alarm.ring()

    def open_private(self, pin: Pin) -> None:
        self._wanted_by.append(pin)
        self._work.set()

    def lost_unused(self) -> None:
        self._backoff.failed(self._reactor.clock())

    async def run(self) -> None:
        """Until cancelled; then every connection is closed."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    check, self._device.tracker, self._ping, self._changed, self._alarm, self._reactor.clock
                )
                await self._fill(nursery)
        finally:
            for upstream in (*self._device.upstreams, *self._device.private):
                upstream.close("the device was let go")
            self._reactor.flush()

    def _changed(self) -> None:
        self._group.changed(self._device)
        self._reactor.flush()

    async def _fill(self, nursery: trio.Nursery) -> None:
        device = self._device
        while True:
            self._work = trio.Event()
            wait = self._backoff.wait(self._reactor.clock())
            while not wait and self._wanted_by:
                pin = self._wanted_by.pop()
                if not pin.over:
                    nursery.start_soon(self._open, pin)
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

    async def _open(self, pin: Pin | None) -> None:
        """Open one connection for the pool, or for a pin."""
        device = self._device
        try:
            upstream = await self._dial(pin)
        except DialError as exc:
            if exc.refused and not device.upstreams:
                device.tracker.ping_failed(str(exc), self._reactor.clock(), for_certain=True)
                self._changed()
            upstream = None
        finally:
            if pin is None:
                device.dialling -= 1
            self._work.set()
        now = self._reactor.clock()
        if upstream is not None and pin is None and not self._target():
            upstream.close("it is no longer wanted")
        elif upstream is not None:
            self._group.upstream_opened(upstream, now)
        elif pin is not None:
            self._group.pin_failed(pin, now)
        self._reactor.flush()

    async def _dial(self, owner: Pin | None) -> Upstream:
        """A connected upstream that the group does not know yet. Raises DialError."""
        device, settings = self._device, self._group.settings
        try:
            sock = await self._connect()
        except DialError as exc:
            self._backoff.failed(self._reactor.clock())
            if exc.stranger:
                self._distrust(str(exc))
            raise
        framing = device.settings.framing or settings.framing
        upstream = Upstream(
            device,
            self._group,
            framing=framing,
            longest=settings.answer,
            verify_context=settings.context is Context.VERIFY,
            owner=owner,
            now=self._reactor.clock(),
        )
        upstream.attach(Link(self._reactor, sock, upstream))
        return upstream

    def _distrust(self, reason: str) -> None:
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
        answered = trio.Event()
        code, context = parse_request(self._group.settings.ping.request.encode())
        now = self._reactor.clock()
        exchange = Exchange(
            self._group.settings.ping.request.encode(),
            code,
            context,
            _PING,
            None,
            lambda _: answered.set(),
            now,
            is_ping=True,
        )
        timeout = device.settings.ping_timeout or self._group.settings.ping.timeout
        with trio.move_on_after(timeout):
            if fresh or not device.free:
                await self._send_on_fresh_connection(exchange)
            else:
                self._group.send_ping(device, exchange, now)
            self._reactor.flush()
            started = self._reactor.clock()
            await answered.wait()
            return self._judge(exchange, self._reactor.clock() - started)
        exchange.abandon()
        self._end_what_hangs(exchange)
        raise PingFailed(f"no answer to a ping within {timeout:g} s")

    async def _send_on_fresh_connection(self, exchange: Exchange) -> None:
        try:
            upstream = await self._dial(None)
        except DialError as exc:
            raise PingFailed(str(exc), for_certain=exc.refused and not self._device.upstreams) from exc
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

    def _end_what_hangs(self, ping: Exchange) -> None:
        """A connection that leaves a ping unanswered, and has nothing else to lose, is of no use."""
        for upstream in tuple(self._device.upstreams):
            if [attempt.exchange for attempt in upstream.outstanding] == [ping]:
                upstream.close("a ping was not answered")
        self._reactor.flush()

    def _answered_lately(self) -> bool:
        """Whether real requests were answered since this was last asked."""
        seen, self._answers_seen = self._answers_seen, self._device.ok
        return self._answers_seen > seen
