"""The data path in one process: real reactor, links, clients, group and connections, with both far ends in our hands.

Sockets are socket pairs without TLS, since OpenSSL's work would hide ours; time is a counter. So the same run does the
same instructions each time.
"""

from __future__ import annotations

import itertools
import select
import socket
from collections.abc import Callable
from random import Random

from balancer.command import CommandTable
from balancer.deadlines import Deadlines
from balancer.device import Device
from balancer.exchange import Exchange
from balancer.group import Group
from balancer.owner import Owner
from balancer.transport.handler import LinkHandler
from balancer.transport.link import Link
from balancer.transport.reactor import Reactor
from balancer.upstream import Upstream
from config import model
from config.catalogue import load_catalogue
from config.model import DEFAULT_ERRORS, Bind, Framing, Functions, Limits, Role
from guardian.answers import Answers
from guardian.client import Client
from guardian.functions import GroupRules
from guardian.host import ClientSettings
from health.tracker import HealthTracker

_BOUNDS = model.Admin(bind=Bind(host="127.0.0.1", port=0)).buckets
_LONGEST = 65_536  # bytes that a far end reads at once
_LOGIN = b"[AORKLG;DAname;CHpassword;]"
_YES = b"[AORKLG;ANY;]"
_PER_TICK = 400  # requests between looks at the time-outs: 20 ms at 20,000 a second


class Listener:
    """Who owns the clients: nothing may happen that it is told of."""

    draining = False

    def client_gone(self, client: Client) -> None: ...

    def client_fault(self, client: Client, exc: Exception) -> None:
        raise exc

    def would_block(self, client: Client, code: str) -> None: ...

    def refused_request(self, client: Client, exchange: Exchange) -> None:
        raise AssertionError(f"a request was answered {exchange.outcome.value}")

    def blocked(self, client: Client, code: str) -> None: ...

    def login_ended(self, client: Client, code: str, result: str) -> None: ...


class Keeper:
    """Opens connections of owners at once: a `Keeper` of a device."""

    def __init__(self, rig: Rig, device: Device) -> None:
        self._rig = rig
        self._device = device

    def wake(self) -> None: ...

    def open_private(self, owner: Owner) -> None:
        self._rig.connect(self._device, owner)

    def lost_unused(self) -> None: ...

    def look(self) -> None: ...

    def distrust(self, reason: str) -> None: ...


class Rig:
    """Three devices that give back what they get, and clients: `ask` takes a request of each through."""

    def __init__(self, *, clients: int, pipeline: int, connections: int) -> None:
        """``connections``: to each device, ``pipeline`` requests on each."""
        # A microsecond later at each look; in C, as the real clock is.
        self._clock: Callable[[], float] = itertools.count(1000.0, 1e-6).__next__
        self._now = self._clock()
        self.reactor = Reactor(self._clock, _raise)
        roles = (Role.PRIMARY, Role.PRODUCTION, Role.PRODUCTION)
        self._settings = model.Group(
            name="devices",
            functions=Functions(block=("TIME", "GPKD")),
            slow_start=0.0,
            devices=tuple(
                model.Device(
                    name=f"hsm{i}",
                    address=Bind(host="127.0.0.1", port=9100),
                    role=role,
                    connections=connections,
                    pipeline=pipeline,
                    outstanding=max(32, pipeline * connections),
                )
                for i, role in enumerate(roles, 1)
            ),
        )
        catalogue = load_catalogue()[0]
        table = CommandTable(catalogue, _BOUNDS)
        self.group = Group(self._settings, table, _BOUNDS, self._clock, _told)
        self._deadlines = Deadlines(self.group, self._now)
        self._asked = select.epoll()  # the devices' ends
        self._devices: dict[int, socket.socket] = {}
        self._clients: list[socket.socket] = []
        self._links: list[Link] = []
        self._since_tick = 0
        self._listener = Listener()
        self.rules = GroupRules(self._settings, catalogue, table)
        self.client_settings = ClientSettings(
            framing=Framing.EXCRYPT, limits=Limits(), answers=Answers(DEFAULT_ERRORS), longest=Limits().message
        )
        for settings in self._settings.devices:
            self._add(settings, connections)
        self.welcome(clients)

    def _add(self, settings: model.Device, connections: int) -> None:
        tracker = HealthTracker(self._settings.ping, self._settings.ejection, Random(1))  # noqa: S311 - for jitter only
        device = Device(settings, tracker, _BOUNDS)
        device.keeper = Keeper(self, device)
        self.group.devices.append(device)
        for _ in range(self._settings.ping.rise):
            tracker.ping_answered(0.001, self._now)
        self.group.changed(device)
        for _ in range(connections):
            self.connect(device, None)

    def connect(self, device: Device, owner: Owner | None) -> None:
        """Open a connection to the device, for everybody or for its owner."""
        near, far = _pair()
        upstream = Upstream(
            device,
            self.group,
            framing=Framing.EXCRYPT,
            longest=self._settings.answer,
            verify_context=True,
            owner=owner,
            now=self._now,
        )
        upstream.attach(self._link(near, upstream))
        self._devices[far.fileno()] = far
        self._asked.register(far, select.EPOLLIN)
        self.group.upstream_opened(upstream, self._now)

    def welcome(self, clients: int) -> None:
        """So many more of them."""
        rules = self.rules.of(None)
        assert rules is not None
        for _ in range(clients):
            near, far = _pair()
            client = Client(self._listener, self.group, rules, self.client_settings, None, self._now)
            client.attach(self._link(near, client))
            self._clients.append(far)

    def _link(self, near: socket.socket, handler: LinkHandler) -> Link:
        link = Link(self.reactor, near, handler)
        self._links.append(link)
        return link

    def log_in(self) -> None:
        """Every client: from then on it has a session, with connections of its own."""
        self.ask(_LOGIN, answer=_YES)

    def ask(self, request: bytes, times: int = 1, answer: bytes | None = None) -> None:
        """Every client asks that so many times, and reads each answer: ``answer``, or the request again."""
        expected = request if answer is None else answer
        for _ in range(times):
            for client in self._clients:
                client.send(request)
            while self.turn():
                pass
            for client in self._clients:
                if client.recv(_LONGEST) != expected:
                    raise AssertionError("a client got something else than its answer")
            self._since_tick += len(self._clients)
            if self._since_tick >= _PER_TICK:
                self._since_tick = 0
                self._deadlines.look(self._clock() + 0.02)
                self.reactor.flush()

    def turn(self) -> bool:
        """One batch of the reactor's, then the devices answer; says whether anything happened."""
        busy = self.reactor.run_batch() > 0
        for fd, _ in self._asked.poll(0):
            device = self._devices[fd]
            data = device.recv(_LONGEST)
            device.send(_YES if data == _LOGIN else data)
            busy = True
        return busy

    def close(self) -> None:
        """Nothing may be left when all is done."""
        assert not any(device.outstanding for device in self.group.devices)
        assert not self.group.queue
        for link in self._links:
            link.close()
        for far in (*self._clients, *self._devices.values()):
            far.close()
        self._asked.close()
        self.reactor.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    return near, far


def _raise(exc: BaseException) -> None:
    raise exc


def _told(event: str, **facts: object) -> None:
    """Events of the group: those of the start."""
