"""A group of devices: every request finds its device here, and every end of an exchange passes through here.

Synchronous and free of sockets: connections come in through `upstream_opened`, bytes leave through `Upstream.send`.
Nothing waits while a device has room, but for one that is sooner done: who makes room ends by handing it on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from config import model
from health.state import Health

from .command import CommandTable
from .device import Device
from .exchange import Attempt, Exchange
from .fair import FairQueue, enter
from .histogram import Histogram
from .judgement import blame, judge
from .likeness import GroupLikeness, Tell
from .login import LoginRules
from .pins import Pins
from .resending import Resending
from .scheduler import Scheduler
from .session import Session
from .sessions import Sessions
from .snapshot import Outcome, Will
from .upstream import Upstream
from .wire.message import is_error
from .writes import GroupWrites

Observer = Callable[[object, Exchange], None]  # observer(client, exchange)

_OK: Final = Outcome.OK  # a look into an enum is slow until Python 3.12
_DEVICE_ERROR: Final = Outcome.DEVICE_ERROR


class Group:
    """Submit exchanges; they finish exactly once, whatever happens. All times are seconds of ``clock``."""

    def __init__(
        self,
        settings: model.Group,
        commands: CommandTable,
        bounds: tuple[float, ...],
        clock: Callable[[], float],
        tell: Tell,
        scheduler: Scheduler | None = None,
    ) -> None:
        """``scheduler``: another than the product's, for whoever compares policies."""
        self.name = settings.name
        self.commands = commands
        self.devices: list[Device] = []
        self.scheduler = scheduler or Scheduler(settings.balancing.policy, settings.slow_start)
        self.resending = Resending(self, self.scheduler, settings.retries)
        self.logins = LoginRules(settings.sessions)
        self.pins = Pins(self.scheduler, self.logins, clock)
        self.sessions = Sessions(self, self.scheduler, self.logins, clock)
        self.likeness = GroupLikeness(settings, self.devices, tell)
        self.clock = clock
        self.configure(settings)
        self.queue = FairQueue()
        self.proxy_duration = Histogram(bounds)
        self.queue_duration = Histogram(bounds)
        self.failovers = 0
        self._sessions_first = False  # who is handed a device's room first
        self.would_block = 0
        self.observer: Observer | None = None  # told of each exchange as its client gets the answer
        self.delivered = 0  # answers to clients; the latest one's number
        self.refuses_writes = False  # what changes a device, or may, is not sent: it could not be recorded
        self.arrived = 0  # requests since the retry budget last earned
        self.writes = GroupWrites(self, tell)
        self.tell = tell

    def configure(self, settings: model.Group) -> None:
        """Take new settings; devices are the caller's to change."""
        self.settings = settings
        self._request_timeout = settings.request_timeout
        self._queue_timeout = settings.queue.timeout
        self._writes_in_order = settings.writes_mode is not model.WritesMode.BALANCE
        self.scheduler.policy = settings.balancing.policy
        self.scheduler.slow_start = settings.slow_start
        self.resending.configure(settings.retries)
        self.logins = LoginRules(settings.sessions)
        self.pins.configure(settings, self.logins)
        self.sessions.configure(settings, self.logins)
        self.likeness.configure(settings, self.clock())

    # --- requests -----------------------------------------------------------------------------------------------

    def submit(self, exchange: Exchange, now: float) -> None:
        """Send it, queue it, or finish it with what the proxy has to say."""
        exchange.deadline = now + self._request_timeout
        exchange.wait_until = now + self._queue_timeout
        self.arrived += 1
        if exchange.command.is_write and self._writes_in_order:
            self.writes.submit(exchange, now)
            return
        if exchange.command.own_device:
            self._submit_to_its_device(exchange, now)
            return
        if self.scheduler.trials and exchange.command.provable:
            device = self.scheduler.trial()
            if device is not None:
                self.send(device, exchange, now)
                return
        # Whoever is queued may not go where there is room now (it failed there): that is no reason to wait too.
        device = self.scheduler.pick(exchange.code, now)
        if device is not None and not (
            self.queue and self.scheduler.worth_waiting(device, exchange.code, self.queue, now)
        ):
            self.send(device, exchange, now)
            return
        if self.hopeless:
            exchange.finish(Outcome.NO_DEVICE, None)
        elif len(self.queue) < self.settings.queue.size:
            self.queue.append(exchange)
        else:
            enter(exchange, self.queue, self.queue, 0)

    def submit_for(self, session: Session, exchange: Exchange, now: float) -> None:
        """For a client that is logged in, on a connection of its session."""
        exchange.deadline = now + self._request_timeout
        exchange.wait_until = now + self._queue_timeout
        self.arrived += 1
        in_order = exchange.command.is_write and self._writes_in_order
        (self.writes if in_order else session).submit(exchange, now)

    def submit_to(self, device: Device, exchange: Exchange, now: float) -> None:
        """To this device and no other, waiting there for room; its deadline, owner and ``bound`` are set."""
        owner = exchange.owner
        if isinstance(owner, Session):
            owner.submit_to(device, exchange, now)
        elif device.has_room and not device.waiting:
            self.send(device, exchange, now)
        elif device.upstreams or device.dialling:
            device.waiting.append(exchange)
        else:
            exchange.finish(Outcome.NO_DEVICE, None)

    @property
    def hopeless(self) -> bool:
        """No device in service could take anything soon."""
        return not any(device.upstreams or device.health is Health.UP for device in self.scheduler.serving)

    def _submit_to_its_device(self, exchange: Exchange, now: float) -> None:
        device = self.scheduler.steady
        if device is None or self.hopeless:
            exchange.finish(Outcome.NO_DEVICE, None)
        elif device.has_room and not device.waiting:
            self.send(device, exchange, now)
        else:
            enter(exchange, device.waiting, self.queue, self.settings.queue.size - len(device.waiting))

    def send(self, device: Device, exchange: Exchange, now: float) -> None:
        """On a shared connection that is free: there must be one."""
        upstream = device.free[0]
        upstream.send(exchange, now)
        exchange.queued = False
        device.free.popleft()
        if device.pipeline > 1 and upstream.has_room:
            device.free.append(upstream)
        else:
            upstream.free = False

    def waited(self, seconds: float) -> None:
        """A request was sent, or given up, that had to wait for a device."""
        self.queue_duration.record(seconds)

    # --- what connections tell ----------------------------------------------------------------------------------

    def attempt_answered(self, attempt: Attempt, answer: bytes, now: float) -> None:
        device, exchange, upstream = attempt.device, attempt.exchange, attempt.upstream
        device.finish(attempt)
        exchange.attempts -= 1
        error = is_error(answer)
        if not exchange.is_ping:
            device.duration.record(now - attempt.sent_at)
            if error or not device.tracker.calm:
                judge(self, attempt, answer, now)
            if not error:
                device.ok += 1
                if exchange.command.known:  # else clients could fill the memory with codes of their own
                    device.costs.learn(exchange.code, now - attempt.sent_at)
        owner = upstream.owner
        if owner is None:
            if not upstream.free and upstream.has_room:
                upstream.free = True
                device.free.append(upstream)
            if self.queue or device.waiting or device.blocked_pins or self.sessions.waiting:
                self.hand_on(device, now)
        else:
            if error and owner.takes(attempt, answer, now):
                self.hand_on(device, now)
                return
            owner.freed(upstream, now)
            if self.queue or device.waiting or device.blocked_pins or self.sessions.waiting:
                self.hand_on(device, now)
            if exchange.command.fences:  # as all do that change something
                self.likeness.owner_was_answered(device, exchange, now)
        if not exchange.finished:
            exchange.device = device
            exchange.device_seconds = now - attempt.sent_at
            exchange.answered_at = now
            exchange.finish(_DEVICE_ERROR if error else _OK, answer)

    def upstream_opened(self, upstream: Upstream, now: float) -> None:
        """A new connection, either shared or for the owner that asked for it."""
        device = upstream.device
        owner = upstream.owner
        if owner is not None and device.out:
            upstream.link.close()
            owner.open_failed(device, now)
        elif owner is None:
            device.upstreams.add(upstream)
            upstream.free = True
            device.free.append(upstream)
            self.hand_on(device, now)
        else:
            device.private.add(upstream)
            owner.opened(upstream, now)

    def adopt(self, upstream: Upstream) -> None:
        """A new shared connection on which something will be sent at once: it is free when that is answered."""
        upstream.device.upstreams.add(upstream)

    def send_ping(self, device: Device, exchange: Exchange, now: float) -> None:
        """On a connection with room, whatever the device's limit: there must be one."""
        self.send(device, exchange, now)

    def upstream_lost(
        self, upstream: Upstream, reason: str, attempts: list[Attempt], *, misbehaved: bool, ours: bool
    ) -> None:
        """The connection is gone with these attempts unanswered, oldest first.

        ``misbehaved``: the device sent what no answer can be, rather than just going away. ``ours``: we ended it, for
        a reason that says nothing about the device.
        """
        now = self.clock()
        device = upstream.device
        device.upstreams.discard(upstream)
        device.private.discard(upstream)
        self.likeness.lost_connection(device, now)
        owner = upstream.owner
        if owner is not None:
            owner.withdraw(upstream)
        elif upstream.free:
            upstream.free = False
            device.free.remove(upstream)
        requests = 0
        for attempt in attempts:
            device.finish(attempt)
            attempt.exchange.attempts -= 1
            if not attempt.exchange.is_ping:
                requests += 1
                bad = "bad_answer" if misbehaved else "timeout" if attempt.overdue else "lost"
                device.count("abandoned" if ours else bad)
        if not ours:
            blame(self, upstream, reason, requests, misbehaved=misbehaved, now=now)
        self.changed(device)
        if owner is not None:
            owner.connection_lost(upstream, attempts, now)
        if owner is None or owner.roams:
            touched = upstream.link.touched
            for attempt in attempts:
                why = "not_written" if attempt.mark >= touched else "bad_answer" if misbehaved else "lost"
                self.resending.attempt_failed(attempt, why, now)
        self.hand_on(device, now)

    def hand_on(self, device: Device, now: float) -> None:
        """Nobody waits while this device has room."""
        self._sessions_first = not self._sessions_first  # by turns: neither they nor the others starve
        if self._sessions_first and self.sessions.waiting:
            self.sessions.hand_on(device, now)
        self._hand_on_to_others(device, now)
        if not self._sessions_first and self.sessions.waiting:
            self.sessions.hand_on(device, now)

    def _hand_on_to_others(self, device: Device, now: float) -> None:
        while device.blocked_pins and device.outstanding < device.limit:
            device.blocked_pins.popleft().unblocked(now)
        while device.waiting and device.has_room:
            exchange = device.waiting.popleft()
            if not exchange.finished:
                self.send(device, exchange, now)
        if not device.serving or not self.queue:
            return
        if self.scheduler.worth_waiting(device, self.queue.head.code, self.queue, now):
            return
        passed: list[Exchange] = []  # resent exchanges that should rather go elsewhere
        while self.queue and device.has_room:
            exchange = self.queue.popleft(device.usual)
            if exchange.finished:
                continue
            if exchange.tried and device in self.resending.avoided(exchange):
                passed.append(exchange)
            else:
                self.send(device, exchange, now)
        if passed:
            self.queue.put_back(passed)

    # --- belief -------------------------------------------------------------------------------------------------

    def changed(self, device: Device) -> None:
        """Will, health or suspicion of a device may have changed: put the right devices into service."""
        if device.health is not device.health_told:
            was, device.health_told = device.health_told, device.health
            reason = device.tracker.reason
            device.keeper.wake()
            if device.health not in (Health.UP, Health.PROBATION):
                self._give_up_bound(device)
            self.tell("device health", device=device.name, health=device.health.value, was=was.value, reason=reason)
        before, steady = self.scheduler.serving, self.scheduler.steady
        fresh_backups = self.scheduler.refresh(self.devices)
        now = self.clock()
        if fresh_backups and before:
            self.failovers += fresh_backups
            self.tell("backups serve", devices=sorted(self.scheduler.active_backups))
        if device.tracker.suspect or device.health is not Health.UP:
            device.keeper.wake()
        after = self.scheduler.serving
        if after == before:
            return
        for newcomer in after:
            if newcomer not in before:
                self._entered_service(newcomer, had_peers=bool(before), now=now)
        if self.scheduler.steady is not steady and steady is not None:
            self._move_waiting(steady, now)
        for member in after:
            self.hand_on(member, now)

    def _give_up_bound(self, device: Device) -> None:
        """What waits for this device and no other need not wait: it is not there."""
        bound = [exchange for exchange in device.waiting if exchange.bound]
        device.waiting = deque(exchange for exchange in device.waiting if not exchange.bound)
        for exchange in (*bound, *self.sessions.take_bound(device)):
            exchange.finish(Outcome.NO_DEVICE, None)

    def _entered_service(self, device: Device, *, had_peers: bool, now: float) -> None:
        recovered = device.tracker.changed_at > now - self.settings.slow_start and had_peers
        if recovered and not device.is_backup and self.settings.slow_start and (device.ok or device.outcomes):
            device.ramp_start = now
        device.keeper.wake()

    def _move_waiting(self, device: Device, now: float) -> None:
        """Another device now answers what belongs to one device."""
        waiting, device.waiting = device.waiting, deque()
        for exchange in waiting:
            if exchange.bound:
                device.waiting.append(exchange)
            elif not exchange.finished:
                self._submit_to_its_device(exchange, now)

    def set_will(self, device: Device, will: Will, vouched: bool = True) -> None:
        """The operator's word. `MAINT` closes the device's connections at once; reads go elsewhere, writes are 903.

        ``vouched``: ready after maintenance says also that the device is as the others are.
        """
        now = self.clock()
        if will is device.will:
            return
        if vouched:
            self.likeness.willed(device, will, now)
        device.will = will
        device.will_since = now
        if will is Will.MAINT:
            self.changed(device)
            for upstream in (*device.upstreams, *device.private):
                upstream.close("maintenance")
            device.tracker.forget(now)
        self.changed(device)
        device.keeper.wake()
