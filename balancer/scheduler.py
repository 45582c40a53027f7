"""Which device gets the next request. Pure: devices and time come in, a device comes out.

Why work and not the plain count, and why no power of two choices: docs/architecture.md, "Scheduling".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from config.model import Policy, Role
from health.state import Health

from .cost import UNKNOWN_COST
from .device import Device
from .fair import FairQueue

_MOST: Final = float("inf")
_TIE: Final = 0.5  # of one request's work: a difference below that is a tie
_WORTH: Final = 1.5  # times as long must a device take as the others, to be left alone: costs are rough
_TRIED_AT_LAST: Final = frozenset({Health.DOWN, Health.EJECTED, Health.PROBATION})


class Scheduler:
    """Keeps the devices in service and picks among them.

    Call `refresh` whenever will, health, suspicion or the set of devices has changed; `pick` in between costs one
    look at each device in service (2 to 16), since an exact scan is cheap and every shortcut picks wrong.
    """

    def __init__(self, policy: Policy, slow_start: float) -> None:
        """``slow_start``: seconds."""
        self._in_turn = self._by_work = False
        self.policy = policy
        self.slow_start = slow_start
        self.serving: tuple[Device, ...] = ()
        self.trials: tuple[Device, ...] = ()  # in probation: one real request at a time
        self.active_backups: frozenset[str] = frozenset()
        self._turn = 0
        self._credit: dict[str, float] = {}

    @property
    def policy(self) -> Policy:
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = policy
        self._in_turn = policy is Policy.ROUND_ROBIN
        self._by_work = policy is Policy.LEAST_OUTSTANDING

    def refresh(self, devices: Sequence[Device]) -> int:
        """Decide anew who is in service; gives the number of backups that have just come into service.

        Backups replace lost production devices one for one. When nothing is up, devices that are down, ejected or in
        probation are tried rather than failing everything; an unsafe one, or one never seen well, is not.
        """
        production = [
            device for device in devices if not device.is_backup and device.settings.balancing and not device.leaving
        ]
        production.sort(key=lambda device: device.settings.role is not Role.PRIMARY)  # stable, the primary first
        up = [device for device in production if device.wanted and device.health is Health.UP]
        lost = len(production) - len(up)
        rested = [device for device in devices if device.is_backup and device.wanted]
        backups = [device for device in rested if device.health is Health.UP][:lost]
        self.trials = tuple(
            device
            for device in (*production, *(rested if lost > len(backups) else ()))
            if device.wanted and device.health is Health.PROBATION and not device.lagging
        )
        serving = up + backups
        current = [device for device in serving if not device.lagging]
        trusted = [device for device in current if not device.tracker.suspect] or current
        if not serving:
            self.trials = ()
            trusted = [
                device for device in devices if device.wanted and device.health in _TRIED_AT_LAST and not device.lagging
            ]
        for device in devices:
            device.serving = device in trusted
            device.on_trial = device in self.trials
        self.serving = tuple(trusted)
        active = frozenset(device.name for device in backups)
        fresh = len(active - self.active_backups)
        self.active_backups = active
        return fresh

    @property
    def steady(self) -> Device | None:
        """The device that answers what belongs to one device: the first in service, the primary while it is."""
        return self.serving[0] if self.serving else None

    def trial(self) -> Device | None:
        """A device in probation that waits for its request."""
        for device in self.trials:
            if not device.outstanding and device.has_room:
                return device
        return None

    def pick(self, code: bytes, now: float, avoid: Collection[Device] = ()) -> Device | None:
        """The device in service with room that is loaded least; None where there is none.

        ``avoid``: devices where this request already failed. ``now``: seconds, monotonic.
        """
        if self._in_turn:
            return self._pick_in_turn(now, avoid)
        return self.least_loaded(self.serving, code, now, avoid, shared=True)

    def least_loaded(
        self,
        devices: tuple[Device, ...],
        code: bytes,
        now: float,
        avoid: Collection[Device] = (),
        *,
        shared: bool = False,
    ) -> Device | None:
        """Which of these is loaded least; None where all have reached their limit.

        ``shared``: only those with a free shared connection; else for requests that travel on connections of an owner.
        """
        by_work = self._by_work
        best: Device | None = None
        lowest = _MOST
        turn = 0
        for device in devices:
            if (shared and not device.free) or device.outstanding >= device.limit or (avoid and device in avoid):
                continue
            weight = device.weight
            if device.ramp_start is not None:
                weight = device.ramped_weight(now, self.slow_start)
                if self._ahead_of_its_share(device, weight):
                    continue
            if by_work:
                cost = device.usual.get(code) or self._typical_cost(code)
                score = (device.work + cost) / weight
                tie = _TIE * cost / weight
            else:
                score = (device.outstanding + device.elsewhere + 1) / weight
                tie = 0.0
            # Among those that are as good as equal, the one that was picked longest ago.
            if score + tie < lowest or (device.turn < turn and score - tie <= lowest):
                best, lowest, turn = device, score, device.turn
        if best is not None:
            self._turn += 1
            best.turn = self._turn
        return best

    def worth_waiting(self, device: Device, code: bytes, queue: FairQueue, now: float) -> bool:
        """Whether others are done with the queue, which is not empty, sooner than this device with one request.

        A slow device would else be as full as it may be while anything is queued. Nobody waits longer for it than it
        would have taken here, should the others answer less than they used to.
        """
        cost = device.usual.get(code)
        if not self._by_work or not cost or now - queue.head.arrived >= cost:
            return False
        quickest = cost
        rate = 0.0  # requests a second that the others answer
        for other in self.serving:
            if other is not device and other.outstanding and other.work:
                rate += other.outstanding * (other.outstanding + other.elsewhere) / other.work
                quickest = min(quickest, other.usual.get(code, cost))
        return rate > 0.0 and cost > _WORTH * (quickest + len(queue) / rate)

    def pick_to_keep(self, avoid: Collection[Device]) -> Device | None:
        """The device for a client that stays on it: least outstanding and pinned, over its weight.

        A device in probation gets one such client at a time: where all clients log in, nothing else could prove it.
        """
        for device in self.trials:
            if device not in avoid and not device.outstanding and not device.pins and device.settings.private:
                return device
        fit = [device for device in self.serving if device not in avoid and device.may_have_private]
        return min(fit, key=_kept_busy, default=None)

    def _pick_in_turn(self, now: float, avoid: Collection[Device]) -> Device | None:
        """Smooth weighted round robin."""
        fit = [device for device in self.serving if device.has_room and device not in avoid]
        if not fit:
            return None
        credit = self._credit
        total = 0.0
        for device in fit:
            weight = device.ramped_weight(now, self.slow_start)
            total += weight
            credit[device.name] = credit.get(device.name, 0.0) + weight
        best = max(fit, key=lambda device: credit[device.name])
        credit[best.name] -= total
        return best

    def _typical_cost(self, code: bytes) -> float:
        """What the command takes on the quickest device that knows it, for one that does not yet."""
        known = [cost for device in self.serving if (cost := device.usual.get(code))]
        return min(known, default=UNKNOWN_COST)

    def _ahead_of_its_share(self, device: Device, weight: float) -> bool:
        """Whether a device in slow start has as much outstanding as its ramped weight earns it beside its peers.

        A device that is freshly idle would otherwise draw everything until it is as loaded as the others.
        """
        peers = [peer for peer in self.serving if peer is not device and peer.ramp_start is None]
        if not peers:
            return False
        per_weight = max((peer.outstanding + peer.elsewhere) / peer.weight for peer in peers)
        return device.outstanding + device.elsewhere >= max(1.0, per_weight * weight)


def _kept_busy(device: Device) -> float:
    kept = device.outstanding + device.elsewhere + len(device.pins) + device.pins_elsewhere
    return kept / device.weight
