"""One HSM of a group: the single home of what is outstanding there, of the operator's will and of its health."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from config import model
from config.model import Role
from health.outlier import Tally
from health.state import Health
from health.tracker import HealthTracker

from .cost import UNKNOWN_COST, LearntCosts
from .histogram import Histogram
from .likeness import DeviceLikeness
from .rate import Bucket
from .snapshot import DeviceSnapshot, HistogramSnapshot, Will

if TYPE_CHECKING:
    from .exchange import Attempt, Exchange
    from .owner import Owner
    from .pin import Pin
    from .upstream import Upstream

_LEAST_RAMP = 0.1  # of its weight that a device has when its slow start begins


class Keeper(Protocol):
    """Who opens a device's connections."""

    def wake(self) -> None:
        """Look again at once: something was lost, or somebody decided."""

    def open_private(self, owner: Owner) -> None:
        """Connect for a pinned client or a session; the group is told, either way."""

    def lost_unused(self) -> None:
        """A connection was lost soon after it was opened, and nothing was ever answered on it."""

    def look(self) -> None:
        """Ping it at once."""

    def distrust(self, reason: str) -> None:
        """Whoever answers there is not the device: nothing more is sent on any connection to it."""


class NobodyKeeps:
    """Until the device has a keeper."""

    def wake(self) -> None: ...

    def open_private(self, owner: Owner) -> None: ...

    def lost_unused(self) -> None: ...

    def look(self) -> None: ...

    def distrust(self, reason: str) -> None: ...


class Device:
    """Counts, connections and beliefs. It decides nothing: the scheduler picks, the group acts."""

    def __init__(self, settings: model.Device, tracker: HealthTracker, bounds: tuple[float, ...]) -> None:
        self.bucket: Bucket | None = None  # of its licensed rate
        self.throttled = 0  # how often its tokens ran out
        self.limit = settings.outstanding  # of outstanding; 0 while its licensed rate is used up: it has no room then
        self.configure(settings)
        self.name = settings.name
        self.tracker = tracker
        self.will = Will.READY
        self.will_since = 0.0
        self.likeness = DeviceLikeness()
        self.lacks = 0  # while it is behind: the number of the first write that it lacks or may lack; it has all before
        self.lagging = False  # success of a write was told that it has not answered yet: it serves nothing until then
        self.health_told = tracker.health  # what operators were last told
        self.leaving = False  # a reload took it out of the configuration
        self.outstanding = 0
        self.work = 0.0  # seconds that what is outstanding usually takes, that of other workers included
        self.elsewhere = 0  # outstanding there by other workers
        self.work_elsewhere = 0.0  # how much of `work` is theirs
        self.pins_elsewhere = 0
        self.upstreams: set[Upstream] = set()  # shared connections
        self.free: deque[Upstream] = deque()  # those of them with room
        self.private: set[Upstream] = set()  # those of pinned clients and of sessions
        self.dialling = 0
        self.waiting: deque[Exchange] = deque()  # exchanges that belong to this device
        self.blocked_pins: deque[Pin] = deque()  # pinned clients that wait because the device is full
        self.pins: set[Pin] = set()
        self.serving = False  # the scheduler's verdict: gets requests
        self.turn = 0  # counts up with each pick of the scheduler: the device with the least was picked longest ago
        self.on_trial = False  # the scheduler's verdict: gets one request at a time
        self.ramp_start: float | None = None  # since when it is in slow start
        self.costs = LearntCosts()
        self.usual = self.costs.seconds  # what each command usually takes here, by code
        self.ok = 0  # attempts answered with what was asked for
        self.outcomes: dict[str, int] = {}  # how the others ended
        self.duration = Histogram(bounds)
        self.errors = 0  # reads answered with ERRO since the last comparison with its peers
        self._ok_then = 0
        self.keeper: Keeper = NobodyKeeps()
        self._history: deque[HistogramSnapshot] = deque([self.duration.snapshot()], maxlen=6)

    def configure(self, settings: model.Device) -> None:
        """Take new settings; what is outstanding stays."""
        self.settings = settings
        if self.limit:  # else `replenished` gives it the new one
            self.limit = settings.outstanding
        if settings.rate is None:
            self.bucket = None
        elif self.bucket is None or self.bucket.rate != settings.rate:
            self.bucket = Bucket(settings.rate)
        self.pipeline = settings.pipeline
        self.weight = settings.weight

    @property
    def health(self) -> Health:
        return self.tracker.health

    @property
    def wanted(self) -> bool:
        """Whether the operator, the configuration and its likeness let it serve."""
        return self.will is Will.READY and self.settings.balancing and not self.leaving and not self.likeness.held

    @property
    def may_have_private(self) -> bool:
        """Whether one more connection may be opened for a pinned client, those that others wait for counted."""
        on_their_way = sum(1 for pin in self.pins if pin.upstream is None)
        return len(self.private) + on_their_way < self.settings.private

    @property
    def out(self) -> bool:
        """Whether nothing new may begin there, also on connections that somebody has waited for."""
        lost = self.health is Health.DOWN and not self.serving
        return lost or self.leaving or self.will is Will.MAINT or self.health is Health.UNSAFE

    @property
    def is_backup(self) -> bool:
        return self.settings.role is Role.BACKUP

    @property
    def has_room(self) -> bool:
        return bool(self.free) and self.outstanding < self.limit

    @property
    def empty(self) -> bool:
        """Nothing outstanding and nobody pinned: a drain is done."""
        return not self.outstanding and not self.pins

    def ramped_weight(self, now: float, slow_start: float) -> float:
        """Its weight now: less while it is in slow start (``slow_start`` seconds long)."""
        if self.ramp_start is None:
            return self.weight
        elapsed = now - self.ramp_start
        if elapsed >= slow_start:
            self.ramp_start = None
            return self.weight
        return self.weight * max(elapsed / slow_start, _LEAST_RAMP)

    def begin(self, code: bytes, now: float) -> float:
        """The only place where `outstanding` grows; gives the seconds by which `work` has grown."""
        cost = self.usual.get(code, UNKNOWN_COST)
        self.work += cost
        self.outstanding += 1
        if self.bucket is not None:
            self.spend(now)
        return cost

    def spend(self, now: float) -> None:
        """Something is sent that counts against the licensed rate."""
        if self.bucket is not None and not self.bucket.take(now) and self.limit:
            self.limit = 0
            self.throttled += 1

    def replenished(self, now: float) -> bool:
        """For a device whose rate is used up: whether it may be sent something again, which gives it its room back."""
        if self.bucket is not None and not self.bucket.ready(now):
            return False
        self.limit = self.settings.outstanding
        return True

    def finish(self, attempt: Attempt) -> None:
        """The only place where `outstanding` shrinks."""
        self.outstanding -= 1
        self.work = self.work - attempt.cost if self.outstanding else self.work_elsewhere

    def count(self, outcome: str) -> None:
        """How an attempt ended that is not in `ok`: device_error, lost, timeout, bad_answer, abandoned."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def tally(self) -> Tally:
        """What it answered since `forget_tally`, to be compared with its peers."""
        return Tally(self.ok - self._ok_then + self.errors, self.errors)

    def forget_tally(self) -> None:
        self._ok_then = self.ok
        self.errors = 0

    def remember(self) -> None:
        """Called about every ten seconds: what lies further back than a minute is no longer recent."""
        self._history.append(self.duration.snapshot())

    def snapshot(self, wall_minus_clock: float) -> DeviceSnapshot:
        """``wall_minus_clock``: what turns the clock's seconds into Unix time."""
        duration = self.duration.snapshot(wall_minus_clock)
        pinged = self.tracker.last_ping_at
        busy = sum(1 for upstream in self.upstreams if upstream.outstanding)
        return DeviceSnapshot(
            name=self.name,
            address=str(self.settings.address),
            role=self.settings.role,
            will=self.will,
            health=self.health,
            in_service=self.on_trial or (self.serving and (self.health is Health.UP or bool(self.upstreams))),
            reason=self._reason(),
            since=max(self.tracker.changed_at, self.will_since) + wall_minus_clock,
            weight=self.settings.weight,
            outstanding=self.outstanding,
            limit=self.settings.outstanding,
            rate=self.settings.rate,
            throttled=self.throttled,
            outcomes={"ok": self.ok, **self.outcomes} if self.ok else dict(self.outcomes),
            duration=duration,
            recent=duration.since(self._history[0]),
            last_ping=self.tracker.last_ping,
            connections={
                "idle": len(self.upstreams) - busy,
                "busy": busy,
                "dialling": self.dialling,
                "private": len(self.private),
            },
            ejections=dict(self.tracker.ejections),
            likeness=self.likeness.snapshot(wall_minus_clock),
            behind=self.tracker.is_behind,
            last_ping_at=None if pinged is None else pinged + wall_minus_clock,
        )

    def _reason(self) -> str:
        if self.leaving:
            return "taken out of the configuration"
        if not self.settings.balancing:
            return "balancing is off"
        if self.will is not Will.READY:
            return f"{self.will.value} by the operator"
        if self.tracker.reason or self.likeness.note:
            return self.tracker.reason or self.likeness.note
        if self.serving:
            return ""
        return "rests: no production device is lost" if self.is_backup else "others are preferred"
