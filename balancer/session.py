"""A login that follows its clients from device to device. Pure.

Connections of a session are opened as they are needed, on any device, and the login is repeated there before anything
else. So each request goes to the device that is loaded least, and the loss of a device is one connection fewer. What
is promised and what not: docs/sessions.md.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .fair import still_waiting
from .lane import Lane, Standing
from .login import Login, Replay
from .owner import Owner
from .snapshot import Outcome

if TYPE_CHECKING:
    from collections.abc import Hashable

    from .device import Device
    from .exchange import Attempt, Exchange
    from .sessions import Sessions
    from .upstream import Upstream


class Session(Owner):
    """One identity, logged in. Its clients share its connections; without clients it is over.

    ``identity`` is what the clients show of themselves.
    """

    roams = True

    def __init__(self, sessions: Sessions, key: Hashable, identity: Hashable, logins: tuple[Login, ...]) -> None:
        self.key = key
        self.identity = identity
        self.logins = logins
        self.clients = 0
        self.began = sessions.clock()
        self.over = False
        self.rules = sessions.rules  # those it was made by: a reload changes what is a login, not what it did
        self.proven = False  # its login was accepted on a connection that is still there
        self.refused_until = 0.0  # a device did not accept the login: it is tried nowhere before that
        self.queue: deque[Exchange] = deque()
        self.lanes: dict[Device, Lane] = {}
        self._sessions = sessions
        self._pumping = False

    # --- requests -----------------------------------------------------------------------------------------------

    def submit(self, exchange: Exchange, now: float) -> None:
        """Its deadline and its owner are set."""
        if not self._place(exchange, now):
            self._wait(exchange, now)

    def submit_again(self, exchange: Exchange, now: float) -> None:
        """A device lost it: to another one, before everything that waits."""
        if self.over:
            exchange.finish(Outcome.LOGIN_LOST, None)
        elif not self._place(exchange, now):
            exchange.wait_until = exchange.deadline
            exchange.queued = True
            self.queue.appendleft(exchange)
            self._sessions.waiting[self] = None
            self._look_for_hope(now)

    def submit_to(self, device: Device, exchange: Exchange, now: float) -> None:
        """To this device and no other."""
        lane = self._lane(device)
        if self.over or (self._locked_out(now) and not lane.upstreams):
            exchange.finish(Outcome.LOGIN_LOST, None)
            return
        lane.bound.append(exchange)
        self._pump_bound(lane, now)
        if lane.bound:
            self._sessions.waiting[self] = None

    def _wait(self, exchange: Exchange, now: float) -> None:
        if self._sessions.hopeless():
            exchange.finish(Outcome.NO_DEVICE, None)
        elif len(self.queue) >= self._sessions.queue_size:
            exchange.finish(Outcome.BUSY, None)
        else:
            self.queue.append(exchange)
            self._sessions.waiting[self] = None
            self._look_for_hope(now)

    def _place(self, exchange: Exchange, now: float) -> bool:
        """Send it to the device that is loaded least; where that has no connection yet, ask for one.

        Until it is there, any other device that has one will do.
        """
        scheduler = self._sessions.scheduler
        avoid: tuple[Device, ...] = ()
        if exchange.command.own_device:
            fit = scheduler.serving[:1]
        elif scheduler.trials and exchange.command.provable and self._try_out(exchange, now):
            return True
        else:
            fit, avoid = scheduler.serving, self._sessions.avoided(exchange)
        best = scheduler.least_loaded(fit, exchange.code, now, avoid)
        if best is None:
            return False
        lane = self._lane(best)
        if not lane.free:
            self._want(lane, now)
            ready = tuple(device for device in fit if device in self.lanes and self.lanes[device].free)
            best = scheduler.least_loaded(ready, exchange.code, now, avoid)
            if best is None:
                return False
            lane = self.lanes[best]
        self._send(lane, exchange, now)
        return True

    def _try_out(self, exchange: Exchange, now: float) -> bool:
        """A device in probation is proven by one request, also where all clients are logged in."""
        for device in self._sessions.scheduler.trials:
            if not device.outstanding:
                lane = self._lane(device)
                if lane.free:
                    self._send(lane, exchange, now)
                    return True
                self._want(lane, now)
        return False

    def _send(self, lane: Lane, exchange: Exchange, now: float) -> None:
        upstream = lane.free[0]
        upstream.send(exchange, now)
        exchange.queued = False
        if not upstream.has_room:
            lane.free.popleft()
            upstream.free = False

    def pump(self, now: float) -> None:
        """Nobody waits while a connection and its device have room."""
        if self._pumping:
            return
        self._pumping = True
        try:
            kept: deque[Exchange] = deque()
            while self.queue:
                exchange = self.queue.popleft()
                if exchange.finished or self._place(exchange, now):
                    continue
                kept.append(exchange)
                if not exchange.tried and not exchange.command.own_device:
                    break  # whatever has no room then has none for those behind it
            kept.extend(self.queue)
            self.queue = kept
            for lane in tuple(self.lanes.values()):
                if lane.bound:
                    self._pump_bound(lane, now)
        finally:
            self._pumping = False
        if not self.queue and not any(lane.bound for lane in self.lanes.values()):
            self._sessions.waiting.pop(self, None)

    def _pump_bound(self, lane: Lane, now: float) -> None:
        while lane.bound and lane.free and lane.device.outstanding < lane.device.limit:
            exchange = lane.bound.popleft()
            if not exchange.finished:
                self._send(lane, exchange, now)
        if lane.bound:
            self._want(lane, now)

    # --- connections --------------------------------------------------------------------------------------------

    def adopt(self, upstream: Upstream, now: float) -> None:
        """A connection on which its logins were just accepted, and on which nothing is outstanding."""
        assert not upstream.outstanding
        upstream.owner = self
        self.proven = True
        lane = self._lane(upstream.device)
        lane.upstreams[upstream] = Standing(now)
        self._free(lane, upstream)

    def enough(self, device: Device) -> bool:
        """Whether it has all the connections to a device that it may have."""
        lane = self.lanes.get(device)
        return lane is not None and len(lane.upstreams) + lane.opening >= device.settings.connections

    def _lane(self, device: Device) -> Lane:
        lane = self.lanes.get(device)
        if lane is None:
            lane = self.lanes[device] = Lane(device)
        return lane

    def _want(self, lane: Lane, now: float) -> None:
        """Ask for one more connection, unless enough are on their way."""
        device = lane.device
        open_or_asked = len(lane.upstreams) + lane.opening
        waiting = len(self.queue) + len(lane.bound)
        if (
            self.over
            or self._locked_out(now)
            or (not self.proven and self._trying)
            or lane.opening > waiting
            or open_or_asked >= device.settings.connections
            or len(device.private) + lane.opening >= device.settings.private
            or not self._sessions.may_open()
        ):
            return
        lane.opening += 1
        device.keeper.open_private(self)

    @property
    def _trying(self) -> bool:
        """Whether a login is about to be repeated somewhere. While none is proven, one at a time is tried."""
        return any(
            lane.opening or any(standing.replaying for standing in lane.upstreams.values())
            for lane in self.lanes.values()
        )

    def opened(self, upstream: Upstream, now: float) -> None:
        lane = self._lane(upstream.device)
        lane.opening -= 1
        if self.over or self._locked_out(now):
            upstream.close("its clients have left")
            return
        lane.upstreams[upstream] = Standing(now)
        self._log_in(lane, upstream, now)

    def open_failed(self, device: Device, now: float) -> None:
        lane = self._lane(device)
        lane.opening -= 1
        if self.queue or lane.bound:
            self.pump(now)

    def _log_in(self, lane: Lane, upstream: Upstream, now: float) -> None:
        """Repeat the login on a connection, which serves nobody until that is accepted."""
        if upstream.free:
            upstream.free = False
            lane.free.remove(upstream)
        lane.upstreams[upstream].replaying = True
        sessions = self._sessions
        Replay(upstream, self.logins, self.rules, sessions.clock, self._logged_in).go_on(now)

    def _logged_in(self, upstream: Upstream, refusal: bytes | None, now: float) -> None:
        lane = self.lanes[upstream.device]
        standing = lane.upstreams.get(upstream)
        if standing is None:
            return
        if refusal is not None:
            self._refused(upstream, now)
            return
        standing.replaying = False
        self.proven = True
        standing.began = standing.used = now
        standing.requests = 0
        self._sessions.count("replayed")
        while standing.again and upstream.link.open:
            exchange = standing.again.popleft()
            if not exchange.finished:
                upstream.send(exchange, now)
        self._free(lane, upstream)
        self.pump(now)

    def _refused(self, upstream: Upstream, now: float) -> None:
        self.distrust(upstream.device, now)
        upstream.close("its login was not accepted")
        self._look_for_hope(now)

    def distrust(self, device: Device, now: float) -> None:
        """A device does not accept the login that another one did: it is not tried on further ones for a while.

        A password may have been changed; each further try would count against its account.
        """
        self._sessions.replay_refused(self, device, now)
        self.refused_until = now + self.rules.settings.failure_window

    def _locked_out(self, now: float) -> bool:
        return now < self.refused_until

    def _look_for_hope(self, now: float) -> None:
        """Where the login is accepted nowhere any more, those who wait are told."""
        if not self._locked_out(now) or any(lane.upstreams for lane in self.lanes.values()):
            return
        queued, self.queue = self.queue, deque()
        for lane in self.lanes.values():
            queued.extend(lane.bound)
            lane.bound.clear()
        for exchange in queued:
            exchange.finish(Outcome.UNKNOWN if exchange.resent else Outcome.LOGIN_LOST, None)

    def _free(self, lane: Lane, upstream: Upstream) -> None:
        if not upstream.free and upstream.has_room:
            upstream.free = True
            lane.free.append(upstream)

    def takes(self, attempt: Attempt, answer: bytes, now: float) -> bool:
        """An answer that asks for a login gets it, once, and then the request again: it was refused, not run."""
        exchange, upstream = attempt.exchange, attempt.upstream
        lane = self.lanes[upstream.device]
        standing = lane.upstreams.get(upstream)
        if exchange.is_ping or standing is None or not self._sessions.rules.asks_for_login(answer):
            return False
        if exchange.finished:
            return False
        exchange.seen = True
        if exchange.relogged:
            exchange.finish(Outcome.LOGIN_LOST, None)
            upstream.close("its login does not hold")
            return True
        exchange.relogged = True
        self._sessions.count("expired")
        standing.again.append(exchange)
        if not standing.replaying:
            self._log_in(lane, upstream, now)
        return True

    def freed(self, upstream: Upstream, now: float) -> None:
        lane = self.lanes[upstream.device]
        standing = lane.upstreams.get(upstream)
        if standing is not None and not standing.replaying:
            standing.requests += 1
            standing.used = now
            if not self._worn(standing, now):
                self._free(lane, upstream)
            elif not upstream.outstanding:
                upstream.close("its login is old")
            elif upstream.free:
                upstream.free = False
                lane.free.remove(upstream)
        if self.queue or lane.bound:
            self.pump(now)

    def withdraw(self, upstream: Upstream) -> None:
        if upstream.free:
            upstream.free = False
            self.lanes[upstream.device].free.remove(upstream)

    def connection_lost(self, upstream: Upstream, attempts: list[Attempt], now: float) -> None:
        lane = self._lane(upstream.device)
        self.withdraw(upstream)
        standing = lane.upstreams.pop(upstream, None)
        self.proven = any(not each.replaying for known in self.lanes.values() for each in known.upstreams.values())
        if not lane.upstreams and not lane.opening and not lane.bound:
            self.lanes.pop(upstream.device, None)
        if self.queue or lane.bound:
            self.pump(now)
            self._look_for_hope(now)
        for exchange in tuple(standing.again) if standing is not None else ():
            exchange.relogged = False  # another device may ask for a login of its own
            self._sessions.send_elsewhere(exchange, upstream.device, now)  # it was refused, so no device has run it

    def _worn(self, standing: Standing, now: float) -> bool:
        rules = self._sessions.rules
        return standing.requests >= rules.max_requests or now - standing.began >= rules.max_age

    def look(self, now: float) -> None:
        """Called about every second: close what was not used for long, or is logged in for too long."""
        idle = self._sessions.rules.settings.idle
        for lane in tuple(self.lanes.values()):
            for upstream, standing in tuple(lane.upstreams.items()):
                for exchange in tuple(standing.again):
                    if now >= exchange.deadline:
                        standing.again.remove(exchange)
                        exchange.finish(Outcome.TIMEOUT, None)
                if not upstream.outstanding and not standing.replaying:
                    if self._worn(standing, now):
                        upstream.close("its login is old")
                    elif now - standing.used >= idle:
                        upstream.close("it was idle")

    def take_bound(self, device: Device) -> list[Exchange]:
        """What waits for that device and no other."""
        lane = self.lanes.get(device)
        if lane is None:
            return []
        bound = list(lane.bound)
        lane.bound.clear()
        return bound

    def expire(self, now: float) -> list[Exchange]:
        """What has waited too long; it is the caller's to end."""
        expired: list[Exchange] = []
        self.queue = still_waiting(self.queue, now, expired)
        for lane in self.lanes.values():
            lane.bound = still_waiting(lane.bound, now, expired)
        return expired

    def end(self) -> None:
        """Its last client has left: nothing of it stays."""
        self.over = True
        for exchange in self.queue:
            exchange.abandon()
        self.queue.clear()
        self._sessions.waiting.pop(self, None)
        for lane in tuple(self.lanes.values()):
            for upstream in tuple(lane.upstreams):
                upstream.close("its clients have left")
            while lane.bound:
                lane.bound.popleft().finish(Outcome.LOGIN_LOST, None)
        for login in self.logins:
            login.forget()
