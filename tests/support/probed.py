"""A group of scripted devices on socket pairs, for virtual time."""

from __future__ import annotations

import socket
from collections.abc import Callable
from random import Random
from typing import Any

import attrs
import pytest
import trio

from balancer.command import CommandTable
from balancer.device import Device
from balancer.group import Group
from balancer.pool import DeviceKeeper
from balancer.transport.dial import DialError
from balancer.transport.reactor import Reactor
from balancer.write import Write
from config import model
from config.model import Identity, Probe, Role
from health.rota import Rota
from health.tracker import HealthTracker
from tests.support.core import CATALOGUE, device_settings, group_settings

A_WRITE = Write.__new__(Write)  # whose own life is of no matter here
BOUNDS = (0.1, 1.0)
PING = b"[AOECHO;AGping;]"
PROBES = (Probe(request="[AOECHO;]"), Probe(request="[AOGPKM;]"))


@attrs.define(eq=False)
class Scripted:
    """A device that answers by code; None: not at all. `off`: it cannot be connected."""

    name: str
    world: World
    answers: dict[bytes, bytes | None]
    off: bool = False
    silent: bool = False  # it takes everything and answers nothing
    delay: float = 0.0  # seconds, of answers to all but pings
    restarts_after: bytes = b""  # a code: with its answer on the way, all connections end, and the table is empty
    asked: list[tuple[float, bytes]] = attrs.field(factory=list)
    pings: list[float] = attrs.field(factory=list)  # when they were answered
    streams: set[trio.SocketStream] = attrs.field(factory=set)

    async def connect(self) -> socket.socket:
        await trio.lowlevel.checkpoint()
        if self.off:
            raise DialError("refused", refused=True)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.world.nursery.start_soon(self._serve, trio.SocketStream(trio.socket.from_stdlib_socket(theirs)))
        return ours

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.streams.add(stream)
        async with stream:
            try:
                async for data in stream:
                    await self._answer(stream, data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
        self.streams.discard(stream)

    async def _answer(self, stream: trio.SocketStream, data: bytes) -> None:
        if self.silent:
            return
        if data == PING:
            self.pings.append(trio.current_time())
            await stream.send_all(data)
            return
        self.asked.append((trio.current_time(), data))
        await trio.sleep(self.delay)
        answer = self.answers[data[3:7]]
        if answer is not None:
            await stream.send_all(answer)
        if data[3:7] == self.restarts_after:
            self.restarts_after = b""
            self.restart_empty()

    def restart_empty(self) -> None:
        """Within one moment."""
        self.answers[b"GPKM"] = b"[AOGPKM;KT;]"
        for stream in self.streams:
            stream.socket.close()

    async def cut(self) -> None:
        """All its connections are gone, as after a restart."""
        for stream in tuple(self.streams):
            await stream.aclose()

    def count(self, code: bytes) -> int:
        return sum(request[3:7] == code for _, request in self.asked)


@attrs.define(eq=False)
class World:
    nursery: trio.Nursery
    group: Group
    reactor: Reactor
    scripted: dict[str, Scripted] = attrs.field(factory=dict)
    told: list[tuple[str, dict[str, Any]]] = attrs.field(factory=list)
    served: list[tuple[float, str]] = attrs.field(factory=list)  # when a device was seen in service

    def __getitem__(self, name: str) -> Device:
        return next(device for device in self.group.devices if device.name == name)

    @property
    def serving(self) -> set[str]:
        return {device.name for device in self.group.scheduler.serving}

    def events(self, event: str) -> list[str]:
        return [facts["device"] for told, facts in self.told if told == event]


async def start(
    nursery: trio.Nursery,
    *names: str,
    serials: dict[str, str] | None = None,
    part: Callable[[model.Group], model.Group] = lambda whole: whole,
    seed: int = 0,
    rota: Rota | None = None,
    **identity: Any,
) -> World:
    """The first name is the primary's. ``part``: what of the settings is this process's."""
    serials = serials or {}
    reactor = Reactor(trio.current_time, lambda exc: pytest.fail(repr(exc)))
    described = [
        device_settings(name, role=Role.PRODUCTION if number else Role.PRIMARY, connections=2, serial=serials.get(name))
        for number, name in enumerate(names)
    ]
    identity.setdefault("probes", PROBES)
    settings = part(group_settings(*described, identity=Identity(**identity)))
    seed *= 100
    told: list[tuple[str, dict[str, Any]]] = []
    table = CommandTable(CATALOGUE, BOUNDS)
    group = Group(settings, table, BOUNDS, reactor.clock, lambda event, **facts: told.append((event, facts)))
    group.likeness.rota = rota or Rota()
    world = World(nursery, group, reactor, told=told)
    nursery.start_soon(reactor.run)
    for number, each in enumerate(described):
        device = Device(each, HealthTracker(settings.ping, settings.ejection, Random(seed + number), rota), BOUNDS)
        group.devices.append(device)
        answers: dict[bytes, bytes | None] = {
            b"ECHO": b"[AOECHO;VS1;]",
            b"GPKM": b"[AOGPKM;KTa,b;]",
            b"HASH": b"[AOHASH;SN%b;]" % each.name.encode(),
        }
        world.scripted[each.name] = Scripted(each.name, world, answers)
    for number, device in enumerate(group.devices):
        keeper = DeviceKeeper(group, device, world.scripted[device.name].connect, reactor, Random(seed + 10 + number))
        nursery.start_soon(keeper.run)
    return world
