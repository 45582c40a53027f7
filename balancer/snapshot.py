"""Frozen views of the running proxy, for whoever shows it: status, metrics, command line.

All gauges and counters outside are read from these, so that no two of them can disagree. Times are seconds; points in
time are Unix time. Not compiled: what mypyc makes has no annotations by which it could be sent to another process.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs

from config.model import GroupType, Role
from health.state import Health

from .exemplar import Exemplar


@attrs.frozen(kw_only=True)
class HistogramSnapshot:
    """What a histogram had counted at one moment.

    ``counts`` has one entry per bound (not cumulative: values up to that bound and above the one before) and a last
    one for what lies above all bounds. ``bounds`` and ``total`` are in seconds. ``exemplars`` has the latest one by the
    index of its bucket, for those that have one.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    exemplars: Mapping[int, Exemplar] = attrs.field(factory=dict)

    @property
    def count(self) -> int:
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """The duration (seconds) below which that share of the values lies, linear within a bucket; None if empty.

        Values above the last bound count as the last bound.
        """
        wanted = share * self.count
        if wanted <= 0:
            return None
        seen = 0
        lower = 0.0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            if count and seen + count >= wanted:
                return lower + (bound - lower) * (wanted - seen) / count
            seen += count
            lower = bound
        return self.bounds[-1]

    def since(self, earlier: HistogramSnapshot) -> HistogramSnapshot:
        """What was counted after ``earlier``, a snapshot of the same histogram."""
        return HistogramSnapshot(
            bounds=self.bounds,
            counts=tuple(now - then for now, then in zip(self.counts, earlier.counts, strict=True)),
            total=self.total - earlier.total,
        )


class Will(enum.Enum):
    """What the operator wants of a device."""

    READY = "ready"
    DRAIN = "drain"  # no new requests; what is outstanding and pinned may end
    MAINT = "maint"  # out at once; connections are closed, pings stop


class Likeness(enum.Enum):
    """What is known of a device beside the others of its group."""

    ALIKE = "alike"
    UNLIKE = "unlike"
    UNKNOWN = "unknown"  # not shown since it was connected, or nothing is asked


class Outcome(enum.Enum):
    """How an exchange ended, as the label `outcome` says it."""

    OK = "ok"
    DEVICE_ERROR = "device_error"  # the device answered ERRO
    BLOCKED = "blocked"
    NO_DEVICE = "no_device"
    UNKNOWN = "unknown"
    BUSY = "busy"
    TIMEOUT = "timeout"
    MALFORMED = "malformed"
    SHUTDOWN = "shutdown"
    LOGIN_LOST = "login_lost"


class ProxyState(enum.Enum):
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


@attrs.frozen(kw_only=True)
class LikenessSnapshot:
    state: Likeness = Likeness.UNKNOWN
    checked_at: float | None = None  # when it was last shown to be alike or unlike, Unix time
    differs: tuple[str, ...] = ()  # code, tag, and short digests of the values: never a value
    results: Mapping[str, int] = attrs.field(factory=dict)  # checks by what came of them


@attrs.frozen(kw_only=True)
class DeviceSnapshot:
    name: str
    address: str
    role: Role
    will: Will
    health: Health
    in_service: bool  # gets requests now
    reason: str  # why it is as it is; empty where there is nothing to say
    since: float  # when health or will last changed, Unix time
    weight: float
    outstanding: int
    limit: int  # of outstanding
    rate: float | None  # its licence, requests a second
    throttled: int  # how often that was used up
    outcomes: Mapping[str, int]  # attempts by how they ended: ok, device_error, lost, timeout, bad_answer, abandoned
    duration: HistogramSnapshot  # from request written to answer read, since start
    recent: HistogramSnapshot  # the same, over about the last minute
    last_ping: float | None  # seconds the last good ping took
    connections: Mapping[str, int]  # by state: idle, busy, dialling, private
    ejections: Mapping[str, int]  # by reason
    likeness: LikenessSnapshot = LikenessSnapshot()
    behind: bool = False  # its key table lacks a write
    last_ping_at: float | None = None  # when it last answered a ping, or a request instead of one, Unix time

    @property
    def requests(self) -> int:
        return sum(self.outcomes.values())

    @property
    def errors(self) -> int:
        """Attempts that failed by the device's fault; a well-formed ERRO answer is none."""
        return sum(self.outcomes.get(name, 0) for name in ("lost", "timeout", "bad_answer"))


@attrs.frozen(kw_only=True)
class CommandSnapshot:
    command: str  # a code of the catalogue, or "other"
    outcomes: Mapping[str, int]
    duration: HistogramSnapshot  # from the request read to the answer written
    latest: Mapping[str, Exemplar] = attrs.field(factory=dict)  # by outcome other than ok


@attrs.frozen(kw_only=True)
class WritesSnapshot:
    queued: int = 0  # wait for their turn
    under_way: bool = False
    last_sequence: int = 0  # number of the last write, counted over the life of the journal
    behind: Mapping[str, int] = attrs.field(factory=dict)  # device -> the first write that it lacks or may lack
    in_doubt: tuple[str, ...] = ()  # those of them that may have it
    promoted: str | None = None  # who stands in for the primary
    results: Mapping[str, int] = attrs.field(factory=dict)  # ok, refused, short, in_doubt, not_sent, rejected


@attrs.frozen(kw_only=True)
class GroupSnapshot:
    name: str
    type: GroupType
    devices: tuple[DeviceSnapshot, ...]
    commands: tuple[CommandSnapshot, ...]  # only those seen
    proxy_duration: HistogramSnapshot  # from the request read to the answer written, less the device's time
    queued: int
    retries: Mapping[str, int]  # requests sent again, by reason: lost, timeout, bad_answer, not_written
    failovers: int  # a backup came into service for a lost production device
    would_block: int  # requests that `mode: detect` let pass
    sessions: int = 0  # logins that clients have now, those who share one counted once
    # Logins by result: ok, refused, limited; repeated for a session: replayed, replay_refused, expired.
    logins: Mapping[str, int] = attrs.field(factory=dict)
    pinned: Mapping[str, int]  # clients pinned to a device now, by the code that pinned them
    writes: WritesSnapshot = WritesSnapshot()
    queue_size: int = 0  # how many may wait
    queue_duration: HistogramSnapshot | None = None  # how long those that had to wait for a device did
    retries_left: float = 0.0  # resends that the budget still allows
    retries_refused: int = 0  # resends that it did not

    @property
    def usable(self) -> bool:
        return any(device.in_service for device in self.devices)


@attrs.frozen(kw_only=True)
class ListenerSnapshot:
    name: str
    bind: str  # with the real port
    group: str
    connections: Mapping[str, int]  # by kind: shared, session, pinned
    handshaking: int
    handshakes: Mapping[str, int]  # by result: ok, refused, timeout, crowded, error
    limit: int = 0  # of connections


class AuditState(enum.Enum):
    OFF = "off"  # no file is configured
    WRITING = "writing"
    FAILING = "failing"  # records cannot be written now


@attrs.frozen(kw_only=True)
class SyslogSnapshot:
    address: str
    connected: bool
    reason: str  # why it is not
    sent: int
    dropped: int
    queued: int


@attrs.frozen(kw_only=True)
class AuditSnapshot:
    state: AuditState = AuditState.OFF
    refuses_writes: bool = False  # commands that may change a device are refused, because records cannot be written
    reason: str = ""
    records: int = 0  # written since start
    failures: int = 0  # tries to write that failed
    lost: int = 0  # records for which there was no room
    unwritten: int = 0  # records that wait
    last: int = 0  # the number of the last record in the file
    digest: str = ""  # and its hash
    syslog: SyslogSnapshot | None = None


@attrs.frozen(kw_only=True)
class WorkerSnapshot:
    """One of several processes that serve as one."""

    number: int  # from 1; its successor has the same
    up: bool
    pid: int  # 0 before the first one
    started: float  # Unix time
    restarts: int  # how often another one was started in its place
    connections: int  # clients
    outstanding: int  # requests, on all devices
    requests: int  # since it started
    cpu: float  # seconds, user and system
    memory: int  # bytes resident


@attrs.frozen(kw_only=True)
class ProxySnapshot:
    state: ProxyState
    started: float  # Unix time
    groups: tuple[GroupSnapshot, ...]
    listeners: tuple[ListenerSnapshot, ...]
    certificates: Mapping[str, float]  # file -> when it, or its CRL, ends, Unix time
    reloads: Mapping[str, int]  # by result: ok, failed
    revocation_lists: frozenset[str] = frozenset()  # those of `certificates` that are CRLs
    loop_delay: HistogramSnapshot | None = None  # how late the loop ran what was due
    lines_dropped: int = 0  # of the log, since nobody took them
    audit: AuditSnapshot = AuditSnapshot()
    workers: tuple[WorkerSnapshot, ...] = ()  # none: there is one process
