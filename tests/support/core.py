"""A group without sockets: links that a test answers, loses and refuses by hand, and a clock that it turns."""

from __future__ import annotations

import itertools
from collections import deque
from random import Random
from typing import Any

import attrs

from balancer.command import CommandTable
from balancer.deadlines import Deadlines
from balancer.device import Device
from balancer.exchange import Exchange
from balancer.fair import Share
from balancer.group import Group
from balancer.owner import Owner
from balancer.pin import Pin
from balancer.snapshot import Outcome
from balancer.stamps import Stamps
from balancer.transport.link import LinkHandler
from balancer.upstream import Upstream
from balancer.wire.message import parse_request
from config import model
from config.catalogue import load_catalogue
from config.model import Bind, Framing, Role
from health.tracker import HealthTracker

BOUNDS = (0.001, 0.01, 0.1, 1.0)
CATALOGUE = load_catalogue()[0]


class FakeLink:
    """What `Link` promises, with the other end in the test's hands. Nothing leaves before `flush`."""

    def __init__(self, handler: LinkHandler) -> None:
        self.handler = handler
        self.open = True
        self.queued = 0
        self.touched = 0
        self.unsent = 0
        self.sent: list[bytes] = []  # whole writes that left
        self.reading = True
        self.resting = False
        self.finishing = False
        self._out: deque[bytes] = deque()

    def write(self, data: bytes) -> None:
        if not self.open or self.finishing:
            return
        self._out.append(data)
        self.queued += len(data)
        self.unsent += len(data)

    def flush(self, writes: int | None = None) -> None:
        """Let what was written leave: all of it, or the first ``writes``."""
        for _ in range(len(self._out) if writes is None else min(writes, len(self._out))):
            data = self._out.popleft()
            self.sent.append(data)
            self.touched += len(data)
            self.unsent -= len(data)

    @property
    def taken(self) -> int:
        return self.touched

    @property
    def bytes_sent(self) -> bytes:
        return b"".join(self.sent)

    def rest(self) -> None:
        self.resting = True

    def go_on(self) -> None:
        """The next batch."""
        self.resting = False
        if self.open:
            self.handler.go_on()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def finish(self) -> None:
        self.finishing = True

    def close(self) -> None:
        self.open = False
        self._out.clear()
        self.unsent = 0

    def lose(self, reason: str = "closed by the peer") -> None:
        if self.open:
            self.close()
            self.handler.lost(reason)


class FakeKeeper:
    """Notes what was asked of it; the test opens connections."""

    def __init__(self) -> None:
        self.wanted: deque[Owner] = deque()
        self.woken = 0
        self.unused = 0
        self.looks = 0
        self.distrusted: list[str] = []

    def wake(self) -> None:
        self.woken += 1

    def open_private(self, owner: Owner) -> None:
        self.wanted.append(owner)

    def lost_unused(self) -> None:
        self.unused += 1

    def look(self) -> None:
        self.looks += 1

    def distrust(self, reason: str) -> None:
        self.distrusted.append(reason)


def device_settings(name: str, **settings: Any) -> model.Device:
    return model.Device(name=name, address=Bind(host="127.0.0.1", port=9100), **settings)


def group_settings(*devices: model.Device, **settings: Any) -> model.Group:
    settings.setdefault("slow_start", 0.0)
    return model.Group(name="payments", devices=devices, **settings)


@attrs.define(eq=False)
class Asked:
    """One request of a test, and how often it was told its end."""

    exchange: Exchange
    ends: int = 0
    pin: Pin | None = None
    done_at: float = 0.0

    @property
    def outcome(self) -> Outcome | None:
        return self.exchange.outcome if self.ends else None

    @property
    def answer(self) -> bytes | None:
        return self.exchange.answer


class FakeGroup:
    """A `Group` with its devices, deadlines and a clock; connections are opened with `open`."""

    def __init__(self, *devices: model.Device, clock: float = 1000.0, **settings: Any) -> None:
        devices = devices or (device_settings("a", role=Role.PRIMARY), device_settings("b"))
        self.now = clock
        self.told: list[tuple[str, dict[str, object]]] = []
        self.settings = group_settings(*devices, **settings)
        self.group = Group(self.settings, CommandTable(CATALOGUE, BOUNDS), BOUNDS, lambda: self.now, self._tell)
        self.deadlines = Deadlines(self.group, self.now)
        self.keepers: dict[Device, FakeKeeper] = {}
        self.stamp: bytes | None = None  # of `context: inject`, for connections opened from now on
        self.links: list[FakeLink] = []  # all that were ever open
        self.pins_ended: list[tuple[Pin, bool]] = []
        for device in devices:
            self.add(device)
        self._tags = itertools.count(1)

    def _tell(self, event: str, **facts: object) -> None:
        self.told.append((event, facts))

    def add(self, settings: model.Device) -> Device:
        device = Device(settings, HealthTracker(self.settings.ping, self.settings.ejection, Random(1)), BOUNDS)
        self.keepers[device] = device.keeper = FakeKeeper()
        self.group.devices.append(device)
        return device

    def __getitem__(self, name: str) -> Device:
        return next(device for device in self.group.devices if device.name == name)

    def up(self, *names: str) -> None:
        """Good pings until the device is as well as pings can make it."""
        for name in names or tuple(device.name for device in self.group.devices):
            for _ in range(self.settings.ping.rise):
                self[name].tracker.ping_answered(0.001, self.now)
            self.group.changed(self[name])

    def down(self, name: str) -> None:
        self[name].tracker.ping_failed("nobody listens", self.now, for_certain=True)
        self.group.changed(self[name])

    def make(self, name: str, owner: Owner | None = None) -> Upstream:
        """A connection that the group does not know yet."""
        device = self[name]
        framing = device.settings.framing or self.settings.framing
        upstream = Upstream(
            device,
            self.group,
            framing=framing,
            longest=self.settings.answer,
            verify_context=True,
            owner=owner,
            now=self.now,
            stamps=None if self.stamp is None else Stamps(self.stamp, framing),
        )
        link = FakeLink(upstream)
        upstream.attach(link)  # type: ignore[arg-type]
        self.links.append(link)
        return upstream

    def open(self, name: str, count: int = 1) -> list[Upstream]:
        """Open shared connections."""
        made = [self.make(name) for _ in range(count)]
        for upstream in made:
            self.group.upstream_opened(upstream, self.now)
        return made

    def open_private(self, name: str) -> Upstream:
        """Open the connection that a pin or a session asked for longest ago."""
        upstream = self.make(name, self.keepers[self[name]].wanted.popleft())
        self.group.upstream_opened(upstream, self.now)
        return upstream

    def ready(self, connections: int = 1) -> FakeGroup:
        """Everything up and connected."""
        self.up()
        for device in self.group.devices:
            self.open(device.name, connections)
        return self

    def exchange(
        self,
        request: bytes,
        asked: list[Asked],
        owner: Owner | None = None,
        client: Share | None = None,
        *,
        ping: bool = False,
    ) -> Exchange:
        code, context = parse_request(request)

        def done(exchange: Exchange) -> None:
            asked[0].ends += 1
            asked[0].done_at = self.now

        command = self.group.commands.find(code)
        return Exchange(request, code, context, command, owner, done, self.now, client, is_ping=ping)

    def submit(self, request: bytes | None = None, code: str = "ECHO", client: Share | None = None) -> Asked:
        """Submit as a client without a pin does; without a request, one with an ``AG`` of its own."""
        box: list[Asked] = []
        request = request or b"[AO%b;AG%d;]" % (code.encode(), next(self._tags))
        asked = Asked(self.exchange(request, box, client=client))
        box.append(asked)
        self.group.submit(asked.exchange, self.now)
        return asked

    def pin(self, label: str = "RKLG") -> Pin | None:
        pins: list[Pin | None] = []
        pin = self.group.pins.open(label, lambda lost: self.pins_ended.append((pins[0], lost)), self.now)  # type: ignore[arg-type]
        pins.append(pin)
        return pin

    def submit_pinned(self, pin: Pin, request: bytes | None = None, code: str = "RKLG") -> Asked:
        box: list[Asked] = []
        asked = Asked(self.exchange(request or b"[AO%b;AG%d;]" % (code.encode(), next(self._tags)), box, pin), pin=pin)
        box.append(asked)
        self.group.pins.submit(asked.exchange, pin, self.now)
        return asked

    def flush(self) -> None:
        for link in self.links:
            link.flush()

    def wait(self, seconds: float) -> None:
        """Let time pass and the deadlines look."""
        self.now += seconds
        self.deadlines.expire(self.now)

    def upstream_of(self, asked: Asked) -> Upstream:
        """The connection where it is outstanding; the latest of several."""
        found = self.upstreams_of(asked)
        assert found, "it is outstanding nowhere"
        return found[-1]

    def upstreams_of(self, asked: Asked) -> list[Upstream]:
        return [
            upstream
            for device in self.group.devices
            for upstream in (*device.upstreams, *device.private)
            if any(_stands_for(attempt.exchange, asked.exchange) for attempt in upstream.outstanding)
        ]

    def answer(self, upstream: Upstream, answer: bytes | None = None) -> bytes:
        """Answer the oldest request outstanding there; by default rightly."""
        upstream.link.flush()
        if answer is None:
            answer = right_answer(upstream.outstanding[0].exchange)
        upstream.received(answer, self.now)
        return answer

    def lose(self, upstream: Upstream, reason: str = "closed by the peer", *, written: bool = True) -> None:
        if written:
            upstream.link.flush()
        upstream.link.lose(reason)

    def sent_count(self, request: bytes) -> int:
        """On how many links that request left."""
        return sum(link.sent.count(request) for link in self.links)

    @property
    def outstanding(self) -> int:
        return sum(device.outstanding for device in self.group.devices)


def _stands_for(sent: Exchange, asked: Exchange) -> bool:
    """A write is sent to each device in an exchange of its own."""
    return sent is asked or (sent.bound and sent.request == asked.request)


def right_answer(exchange: Exchange) -> bytes:
    tail = b"" if exchange.context is None else b"AG%b;" % exchange.context
    return b"[AO%b;%bBBY;]" % (exchange.code, tail)


def encoded(message: bytes, framing: Framing) -> bytes:
    header = {Framing.LENGTH2: 2, Framing.LENGTH4: 4}[framing]
    return len(message).to_bytes(header, "big") + message
