"""A proxy as the operator's tools see one, without any proxy behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from balancer.group import Group
from balancer.histogram import Histogram
from balancer.snapshot import (
    AuditSnapshot,
    AuditState,
    CommandSnapshot,
    DeviceSnapshot,
    GroupSnapshot,
    HistogramSnapshot,
    ListenerSnapshot,
    Outcome,
    ProxySnapshot,
    ProxyState,
    SyslogSnapshot,
    Will,
    WorkerSnapshot,
)
from config.model import Config, GroupType, Role
from guardian.completions import Completions
from guardian.connected import ClientView, SessionView
from guardian.events import Actor, Events, Kind
from guardian.lessons import Lessons
from guardian.ready import Ready
from guardian.reloading import Reloading
from health.state import Health

NIGHT_SHIFT = Actor(name="night shift", source="192.0.2.7")
BOUNDS = (0.0005, 0.001, 0.01, 0.1, 1.0)


def histogram(*seconds: float) -> HistogramSnapshot:
    counted = Histogram(BOUNDS)
    for value in seconds:
        counted.record(value)
    return counted.snapshot()


def device(name: str = "hsm1", **changes: Any) -> DeviceSnapshot:
    known = DeviceSnapshot(
        name=name,
        address="10.0.8.30:9100",
        role=Role.PRODUCTION,
        will=Will.READY,
        health=Health.UP,
        in_service=True,
        reason="",
        since=1_790_000_000.0,
        weight=1.0,
        outstanding=3,
        limit=32,
        rate=None,
        throttled=0,
        outcomes={"ok": 90, "device_error": 5, "lost": 2, "timeout": 1},
        duration=histogram(0.0004, 0.005, 0.02, 5.0),
        recent=histogram(0.005, 0.005),
        last_ping=0.0021,
        connections={"idle": 5, "busy": 3, "private": 1},
        ejections={"failures": 1},
        last_ping_at=1_790_000_100.0,
    )
    return attrs.evolve(known, **changes)


def group(name: str = "payments", *devices: DeviceSnapshot, **changes: Any) -> GroupSnapshot:
    known = GroupSnapshot(
        name=name,
        type=GroupType.HSM,
        devices=devices or (device("hsm1", role=Role.PRIMARY), device("hsm2")),
        commands=(
            CommandSnapshot(
                command="RSAS",
                outcomes={outcome.value: number for number, outcome in enumerate(Outcome, 1)},
                duration=histogram(0.0009, 0.003, 0.03),
            ),
            CommandSnapshot(command="other", outcomes={"ok": 4}, duration=histogram(0.2)),
        ),
        proxy_duration=histogram(0.0001, 0.0001, 0.0002),
        queued=2,
        retries={"lost": 3},
        failovers=1,
        would_block=7,
        pinned={"RKLG": 1, "ZZZZ": 2},
        logins={"ok": 3, "refused": 1},
        queue_size=1024,
        queue_duration=histogram(0.004),
        retries_left=9.5,
        retries_refused=4,
    )
    return attrs.evolve(known, **changes)


def worker(number: int = 1, **changes: Any) -> WorkerSnapshot:
    known = WorkerSnapshot(
        number=number,
        up=True,
        pid=4000 + number,
        started=1_790_000_000.0,
        restarts=0,
        connections=13,
        outstanding=3,
        requests=98,
        cpu=12.5,
        memory=60_000_000,
    )
    return attrs.evolve(known, **changes)


def proxy(*groups: GroupSnapshot, **changes: Any) -> ProxySnapshot:
    known = ProxySnapshot(
        state=ProxyState.SERVING,
        started=1_790_000_000.0,
        groups=groups or (group(),),
        listeners=(
            ListenerSnapshot(
                name="excrypt",
                bind="127.0.0.1:9100",
                group="payments",
                connections={"shared": 10, "pinned": 3},
                handshaking=1,
                handshakes={"ok": 20, "refused": 2},
                limit=4096,
            ),
        ),
        certificates={"/etc/guardian/guardian.crt": 1_800_000_000.0, "/etc/guardian/ca.crl": 1_795_000_000.0},
        reloads={"ok": 2},
        audit=AuditSnapshot(
            state=AuditState.WRITING,
            records=41,
            failures=3,
            lost=2,
            unwritten=1,
            last=43,
            digest="ab" * 32,
            syslog=SyslogSnapshot(address="192.0.2.9:6514", connected=True, reason="", sent=40, dropped=4, queued=1),
        ),
        revocation_lists=frozenset({"/etc/guardian/ca.crl"}),
        loop_delay=histogram(0.0002),
        lines_dropped=6,
    )
    return attrs.evolve(known, **changes)


class FakeProxy:
    """Shows the snapshot it was given, and does what it is told.

    `react`, if given, is called after each snapshot that was asked for, to let the state go on.
    """

    def __init__(
        self,
        snapshot: ProxySnapshot | None = None,
        react: Callable[[FakeProxy], None] | None = None,
        groups: Mapping[str, Group] | None = None,
    ) -> None:
        """``groups``: whose traffic can be learned from."""
        self.completions = Completions(lambda: groups or {})
        self.lessons = Lessons(time.monotonic, lambda: groups or {}, self.completions)
        self.config = Config(listeners=(), groups=())
        self.reloading: Reloading | None = None
        self.clients: list[ClientView] = []
        self.sessions: list[SessionView] = []
        self.current = snapshot or proxy()
        self.events = Events()
        self.adopters: list[Callable[[Ready], None]] = []
        self.told: list[tuple[str, str, Will]] = []
        self.shown = 0
        self._react = react

    def snapshot(self) -> ProxySnapshot:
        shown = self.current
        self.shown += 1
        if self._react is not None:
            self._react(self)
        return shown

    async def refresh(self) -> None:
        """It is fresh."""

    async def clients_now(self) -> list[ClientView]:
        return self.clients

    async def sessions_now(self) -> list[SessionView]:
        return self.sessions

    def set_will(self, group: str, device: str, will: Will, by: Actor) -> None:
        if not any(
            known.name == device for found in self.current.groups if found.name == group for known in found.devices
        ):
            raise LookupError(f"there is no device {device} in a group {group}")
        self.told.append((group, device, will))
        self.events.tell(Kind.WILL, f"{group}/{device}", will.value, by=by)
        self.change(device, will=will)

    def change(self, name: str, **changes: Any) -> None:
        """Change the devices of that name in every group."""
        self.current = attrs.evolve(
            self.current,
            groups=tuple(
                attrs.evolve(
                    found,
                    devices=tuple(
                        attrs.evolve(known, **changes) if known.name == name else known for known in found.devices
                    ),
                )
                for found in self.current.groups
            ),
        )
