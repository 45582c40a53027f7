"""Dials a modelled device and pings it, as `balancer.pool.DeviceKeeper` does with tasks and sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Final, cast

from balancer.command import CommandCount, GroupCommand
from balancer.device import Device
from balancer.exchange import Exchange
from balancer.group import Group
from balancer.owner import Owner
from balancer.upstream import Upstream
from config.catalogue import Effect
from health.backoff import Backoff
from health.state import Health

from .device import ModelDevice
from .link import Answered, CountedUpstream, ModelLink
from .timeline import Timeline
from .workload import PING, Kind

if TYPE_CHECKING:
    from balancer.transport.link import Link

_CONNECT: Final = 0.002  # seconds for TCP and TLS
_CONNECT_TIMEOUT: Final = 3.0
_AT_MOST_EVERY: Final = 0.1  # seconds between pings, however often the alarm rings
_DIALS_AT_ONCE: Final = 4
_WARM_BACKUP: Final = 2
_NUMBERS: Final = 1_000_003  # of the connections of one keeper
_Dialled = Callable[[Upstream | None, bool], None]  # the connection; or None, and whether nobody listens there
_PING: Final = GroupCommand(
    code=PING.code, label="ping", effect=Effect.READ, multipart=False, known=True, count=CommandCount((1.0,))
)


class ModelKeeper:
    """Keeps one device of one worker's group. Shared connections only: nobody logs in here."""

    def __init__(
        self,
        group: Group,
        device: Device,
        far: ModelDevice,
        timeline: Timeline,
        random: Random,
        answered: Answered,
        kinds: Mapping[bytes, Kind],
    ) -> None:
        self._group = group
        self._device = device
        self._far = far
        self._timeline = timeline
        self._answered = answered
        self._kinds = {**kinds, PING.code: PING}
        self._backoff = Backoff(random)
        self._made = random.randrange(_NUMBERS)
        self._round = 0  # of pings; an alarm that was set for an earlier one means nothing
        self._pinging: Exchange | None = None
        self._pinged_at = -1.0
        self._answers_seen = 0
        self._waits = False  # for the backoff
        device.keeper = self
        timeline.after(random.uniform(0.0, 0.01), self._ping, 0)

    # --- what the group asks ------------------------------------------------------------------------------------

    def wake(self) -> None:
        self._fill()
        if self._pinging is None and (self._device.tracker.suspect or self._device.health is Health.UNKNOWN):
            self._ping_at(max(self._timeline.now, self._pinged_at + _AT_MOST_EVERY))

    def look(self) -> None:
        if self._pinging is None:
            self._ping_at(max(self._timeline.now, self._pinged_at + _AT_MOST_EVERY))

    def distrust(self, reason: str) -> None:
        raise NotImplementedError

    def open_private(self, owner: Owner) -> None:
        raise NotImplementedError

    def lost_unused(self) -> None:
        self._backoff.failed(self._timeline.now)

    # --- connections --------------------------------------------------------------------------------------------

    def _target(self) -> int:
        device = self._device
        if device.health not in (Health.UP, Health.PROBATION):
            return 0
        full = device.settings.connections
        return full if device.serving or device.on_trial else min(_WARM_BACKUP, full)

    def _fill(self) -> None:
        wait = self._backoff.wait(self._timeline.now)
        missing = self._target() - len(self._device.upstreams) - self._device.dialling
        if wait and missing > 0 and not self._waits:
            self._waits = True
            self._timeline.after(wait, self._waited)
        if wait:
            return
        room = (_DIALS_AT_ONCE if not self._backoff.failures else 1) - self._device.dialling
        for _ in range(min(missing, room)):
            self._device.dialling += 1
            self._dial(self._opened)

    def _waited(self) -> None:
        self._waits = False
        self._fill()

    def _dial(self, then: _Dialled) -> None:
        slow = self._far.listens and self._far.hangs
        self._timeline.after(_CONNECT_TIMEOUT if slow else _CONNECT, self._dialled, then)

    def _dialled(self, then: _Dialled) -> None:
        now = self._timeline.now
        if not self._far.listens or self._far.hangs:
            self._backoff.failed(now)
            then(None, not self._far.listens)
            return
        settings = self._group.settings
        upstream = CountedUpstream(
            self._device,
            self._group,
            framing=settings.framing,
            longest=settings.answer,
            verify_context=True,
            owner=None,
            now=now,
        )
        self._made += 1
        upstream.number = self._made
        link = ModelLink(upstream, self._far, self._kinds, self._timeline, self._answered)
        upstream.attach(cast("Link", link))
        then(upstream, False)

    def _opened(self, upstream: Upstream | None, refused: bool) -> None:
        device = self._device
        device.dialling -= 1
        if upstream is None:
            if refused and not device.upstreams:
                device.tracker.ping_failed("connection refused", self._timeline.now, for_certain=True)
                self._group.changed(device)
        elif not self._target():
            upstream.close("it is no longer wanted")
        else:
            self._group.upstream_opened(upstream, self._timeline.now)
        self._fill()

    # --- pings --------------------------------------------------------------------------------------------------

    def _ping_at(self, when: float) -> None:
        self._round += 1
        self._timeline.at(when, self._ping, self._round)

    def _ping(self, turn: int) -> None:
        if turn != self._round or self._pinging is not None:
            return
        device, now = self._device, self._timeline.now
        seen, self._answers_seen = self._answers_seen, device.ok
        if not device.free and device.upstreams and device.ok > seen:
            self._pinged(device.tracker.last_ping or 0.0)  # busy with real requests, which are the better pings
            return
        exchange = Exchange(PING.request, PING.code, None, _PING, None, self._ping_ended, now, is_ping=True)
        self._pinging = exchange
        self._timeline.after(self._group.settings.ping.timeout, self._ping_overdue, exchange)
        if device.free:
            self._group.send_ping(device, exchange, now)
        else:
            self._timeline.after(self._backoff.wait(now), self._dial, self._opened_for_ping)

    def _opened_for_ping(self, upstream: Upstream | None, refused: bool) -> None:
        ping = self._pinging
        if upstream is None:
            if ping is not None:
                self._ping_failed("cannot be connected", for_certain=refused and not self._device.upstreams)
        elif ping is None:
            upstream.close("it is no longer wanted")
        else:
            self._group.adopt(upstream)
            upstream.send(ping, self._timeline.now)

    def _ping_ended(self, ping: Exchange) -> None:
        if ping is self._pinging:
            # Not within whoever tells it: the group is amid its own work.
            self._timeline.at(self._timeline.now, self._judge, ping)

    def _judge(self, ping: Exchange) -> None:
        if ping is not self._pinging:
            return
        if ping.answer is None:
            self._ping_failed("the connection broke during a ping")
            return
        self._backoff.succeeded()
        self._pinged(self._timeline.now - ping.arrived)

    def _ping_overdue(self, ping: Exchange) -> None:
        if ping is not self._pinging:
            return
        ping.abandon()
        self._ping_failed("no answer to a ping in time")
        for upstream in tuple(self._device.upstreams):
            if [attempt.exchange for attempt in upstream.outstanding] == [ping]:
                upstream.close("a ping was not answered")

    def _pinged(self, seconds: float) -> None:
        self._device.tracker.ping_answered(seconds, self._timeline.now)
        self._ended()

    def _ping_failed(self, reason: str, *, for_certain: bool = False) -> None:
        self._device.tracker.ping_failed(reason, self._timeline.now, for_certain=for_certain)
        self._ended()

    def _ended(self) -> None:
        self._pinging = None
        self._pinged_at = self._timeline.now
        self._group.changed(self._device)
        self._ping_at(
            self._timeline.now + max(self._device.tracker.until_next_ping(self._timeline.now), _AT_MOST_EVERY)
        )
        self._fill()
