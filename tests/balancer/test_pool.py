"""The keeper of a device's connections, in virtual time, with echo devices on socket pairs."""

from __future__ import annotations

import socket
from collections.abc import Callable
from random import Random

import attrs
import pytest
import trio
import trio.testing

from balancer.command import CommandTable
from balancer.device import Device
from balancer.exchange import Exchange
from balancer.group import Group
from balancer.pool import DeviceKeeper
from balancer.snapshot import Will
from balancer.transport.dial import DialError
from balancer.transport.reactor import Reactor
from balancer.wire.message import parse_request
from config.model import Context, Role
from health.checker import PingFailed
from health.state import Health
from health.tracker import HealthTracker
from tests.support.core import CATALOGUE, device_settings, group_settings

BOUNDS = (0.1, 1.0)
NOT_REPEATED = "device does not repeat AG: its answers are verified only"


@attrs.define
class World:
    """One device whose connections are made by `connect`; `error` makes that fail, `mute` leaves it unanswered."""

    nursery: trio.Nursery
    group: Group
    device: Device
    keeper: DeviceKeeper
    error: DialError | None = None
    mute: bool = False
    answer: Callable[[bytes], bytes] = lambda request: request
    told: list[str] = attrs.field(factory=list)
    seen: list[bytes] = attrs.field(factory=list)
    dialled: list[float] = attrs.field(factory=list)
    open: set[trio.SocketStream] = attrs.field(factory=set)

    async def connect(self) -> socket.socket:
        self.dialled.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.nursery.start_soon(self._echo, trio.SocketStream(trio.socket.from_stdlib_socket(theirs)))
        return ours

    async def _echo(self, stream: trio.SocketStream) -> None:
        self.open.add(stream)
        async with stream:
            async for data in stream:
                self.seen.append(data)
                if not self.mute:
                    await stream.send_all(self.answer(data))
        self.open.discard(stream)


async def start(nursery: trio.Nursery, *, context: Context = Context.VERIFY, **settings: object) -> World:
    reactor = Reactor(trio.current_time, lambda exc: pytest.fail(repr(exc)))
    described = device_settings("a", **{"role": Role.PRIMARY, "connections": 4, **settings})
    group_described = group_settings(described, slow_start=0.0, context=context)
    told: list[str] = []
    table = CommandTable(CATALOGUE, BOUNDS)
    group = Group(group_described, table, BOUNDS, reactor.clock, lambda event, **_: told.append(event))
    tracker = HealthTracker(group_described.ping, group_described.ejection, Random(1))
    device = Device(described, tracker, BOUNDS)
    group.devices.append(device)
    world = World(nursery, group, device, None, told=told)  # type: ignore[arg-type]
    world.keeper = DeviceKeeper(group, device, world.connect, reactor, Random(2))
    nursery.start_soon(reactor.run)
    nursery.start_soon(world.keeper.run)
    return world


class TestKeeper:
    async def test_a_good_ping_brings_it_up_and_fills_its_connections(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery)
            await trio.sleep(1)
            assert world.device.health is Health.UP
            assert len(world.device.upstreams) == len(world.open) == 4
            assert world.device.tracker.last_ping is not None
            nursery.cancel_scope.cancel()

    async def test_it_is_never_dialled_more_often_than_its_backoff_allows(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Doubling from 0.05 s to 5 s, each shortened by a quarter at most."""
        async with trio.open_nursery() as nursery:
            world = await start(nursery)
            world.error = DialError("refused", refused=True)
            for _ in range(600):
                world.keeper.wake()
                world.device.tracker.doubt()
                await trio.sleep(0.1)
            allowed = [min(0.05 * 2.0**n, 5.0) * 0.75 for n in range(len(world.dialled))]
            gaps = [later - earlier for earlier, later in zip(world.dialled, world.dialled[1:], strict=False)]
            assert all(gap >= least for gap, least in zip(gaps, allowed, strict=False)), gaps
            assert 5 < len(world.dialled) < 30
            assert world.device.health is Health.DOWN
            nursery.cancel_scope.cancel()

    async def test_it_comes_back_when_it_can_be_connected_again(self, autojump_clock: trio.testing.MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery)
            world.error = DialError("refused", refused=True)
            await trio.sleep(20)
            assert world.device.health is Health.DOWN
            assert world.device.tracker.reason == "refused"
            world.error = None
            await trio.sleep(20)
            assert world.device.health is Health.PROBATION
            assert len(world.device.upstreams) == 4
            nursery.cancel_scope.cancel()

    async def test_a_silent_device_goes_down_and_its_hanging_connections_are_ended(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery)
            await trio.sleep(1)
            world.mute = True
            await trio.sleep(60)
            assert world.device.health is Health.DOWN
            assert "no answer to a ping" in world.device.tracker.reason
            assert len(world.device.upstreams) <= 1  # the one of the ping that is on its way
            nursery.cancel_scope.cancel()

    async def test_a_device_at_rest_keeps_two_warm(self, autojump_clock: trio.testing.MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, role=Role.BACKUP)
            primary = Device(device_settings("p", role=Role.PRIMARY), world.device.tracker, BOUNDS)
            primary.tracker = HealthTracker(world.group.settings.ping, world.group.settings.ejection, Random(3))
            primary.tracker.ping_answered(0.001, 0.0)
            world.group.devices.insert(0, primary)
            await trio.sleep(1)
            assert world.device.health is Health.UP
            assert len(world.device.upstreams) == 2
            nursery.cancel_scope.cancel()

    async def test_what_was_dialled_amid_a_reload_is_dialled_again_as_the_reload_says(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Whom we trusted before it may be trusted no longer."""
        async with trio.open_nursery() as nursery:
            world = await start(nursery)
            before: list[socket.socket] = []

            async def slowly() -> socket.socket:
                await trio.sleep(0.5)
                before.append(await world.connect())
                return before[-1]

            world.keeper.reconnect_with(slowly)
            await trio.sleep(0.1)
            world.keeper.reconnect_with(world.connect)
            await trio.sleep(2)
            assert before
            assert all(sock.fileno() == -1 for sock in before)
            assert len(world.device.upstreams) == len(world.open) == 4
            nursery.cancel_scope.cancel()

    async def test_maintenance_closes_everything_and_stops_pings(self, autojump_clock: trio.testing.MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery)
            await trio.sleep(1)
            world.group.set_will(world.device, Will.MAINT)
            await trio.sleep(1)
            dialled = len(world.dialled)
            await trio.sleep(60)
            assert not world.open
            assert len(world.dialled) == dialled
            assert world.device.health is Health.UNKNOWN
            world.group.set_will(world.device, Will.READY)
            await trio.sleep(3)
            assert world.device.health is Health.UP
            nursery.cancel_scope.cancel()

    async def test_a_stranger_in_its_place_is_unsafe_until_the_device_is_back(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery)
            await trio.sleep(1)
            world.error = DialError("the certificate is not for 'hsm1'", stranger=True)
            await trio.sleep(60)  # the next fresh ping finds it
            assert world.device.health is Health.UNSAFE
            assert not world.open
            world.error = None
            await trio.sleep(30)
            assert world.device.health is Health.UP
            nursery.cancel_scope.cancel()

    async def test_who_asks_a_device_that_is_let_go_opens_nothing(self, autojump_clock: trio.testing.MockClock) -> None:
        """Other keepers ask, too, and go on: nobody would close their connection to this one."""
        async with trio.open_nursery() as others:
            async with trio.open_nursery() as nursery:
                world = await start(nursery)
                await trio.sleep(1)
                world.nursery = others
                nursery.cancel_scope.cancel()
            with pytest.raises(PingFailed, match="let go"):
                await world.keeper.ask(b"[AOECHO;]", 1.0)
            assert not world.keeper._reactor.links
            others.cancel_scope.cancel()


class TestInject:
    """`context: inject` holds for a connection on which the device has repeated an ``AG`` of ours."""

    async def answered(self, world: World, request: bytes) -> tuple[bytes | None, bytes]:
        """What a client gets, and what the device got."""
        code, context = parse_request(request)
        ended = trio.Event()
        command = world.group.commands.find(code)
        exchange = Exchange(request, code, context, command, None, lambda _: ended.set(), trio.current_time())
        world.group.submit(exchange, trio.current_time())
        upstream = next(upstream for upstream in world.device.upstreams if upstream.outstanding)
        upstream.link._reactor.flush()
        with trio.fail_after(30):
            await ended.wait()
        return exchange.answer, world.seen[-1]

    async def test_a_device_that_repeats_it_gets_it_in_every_request(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, context=Context.INJECT)
            await trio.sleep(1)
            assert len(world.device.upstreams) == 4
            tried = {data for data in world.seen if b"TRY;" in data}
            assert len(tried) == len(world.dialled), "each connection has its own text"
            answer, seen = await self.answered(world, b"[AOECHO;BB1;]")
            assert answer == b"[AOECHO;BB1;]"
            assert seen != answer
            assert b";AG" in seen
            assert NOT_REPEATED not in world.told
            nursery.cancel_scope.cancel()

    async def test_a_device_that_does_not_is_verified_and_told_of(self, autojump_clock: trio.testing.MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, context=Context.INJECT)
            world.answer = lambda request: request if b"AGping" in request else b"[AOECHO;]"
            await trio.sleep(1)
            assert len(world.device.upstreams) == 4
            assert world.told.count(NOT_REPEATED) == len(world.dialled)
            world.answer = lambda request: request
            request = b"[AOECHO;AGmine;]"
            assert await self.answered(world, request) == (request, request)
            world.answer = lambda _: b"[AOECHO;AGother;]"
            assert (await self.answered(world, b"[AOGRSA;AGmine;]"))[0] is None
            nursery.cancel_scope.cancel()

    @pytest.mark.parametrize("answer", [b"x", b"[AOTIME;]", b"[AOECHO;][AOECHO;]"])
    async def test_a_connection_that_shows_nothing_is_not_used(
        self, autojump_clock: trio.testing.MockClock, answer: bytes
    ) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, context=Context.INJECT)
            world.answer = lambda _: answer
            await trio.sleep(30)
            assert not world.device.upstreams
            assert not world.open
            assert world.device.health is Health.DOWN
            nursery.cancel_scope.cancel()

    async def test_a_silent_connection_is_closed_in_time(self, autojump_clock: trio.testing.MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, context=Context.INJECT)
            world.mute = True
            await trio.sleep(60)
            assert len(world.open) <= 1
            assert not world.device.upstreams
            nursery.cancel_scope.cancel()

    async def test_each_try_counts_against_the_licence(self, autojump_clock: trio.testing.MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, context=Context.INJECT, rate=1000.0)
            spent: list[float] = []
            world.device.spend = spent.append  # type: ignore[method-assign]
            await trio.sleep(1)
            assert len(world.device.upstreams) == 4
            assert len(spent) == len(world.seen) > 4
            nursery.cancel_scope.cancel()

    async def test_letting_go_of_the_device_in_the_middle_of_a_try_leaves_no_connection(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        async with trio.open_nursery() as nursery:
            world = await start(nursery, context=Context.INJECT)
            world.mute = True
            await trio.sleep(0.5)
            assert world.open
            nursery.cancel_scope.cancel()
        assert not world.keeper._reactor.links
