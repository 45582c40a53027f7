"""A group whose devices are checked by hand: the test says what each shows."""

from __future__ import annotations

from typing import Any

from balancer.likeness import GroupLikeness
from balancer.snapshot import Likeness
from config.model import Identity, LikenessAction, Probe, Role, SerialPin
from health.drift import Portrait, compare, sketch, wrong_serial
from health.state import Health
from tests.support.core import FakeGroup, device_settings

ECHO = Probe(request="[AOECHO;]")
TABLE = Probe(request="[AOGPKM;]")
PIN = SerialPin(serial="SN")


def portrait(table: str = "1", *, version: str = "1", writes: int = 0, serial: str = "") -> Portrait:
    shown = {
        ECHO: sketch(f"[AOECHO;VS{version};]".encode(), ECHO, b""),
        TABLE: sketch(f"[AOGPKM;KT{table};]".encode(), TABLE, b""),
    }
    wrong = wrong_serial(f"[AOHASH;SN{serial};]".encode(), PIN, "right", b"") if serial else None
    return Portrait(shown, writes, wrong)


class World:
    """A group of a primary, two others and a backup; `check` is a check of a device whose answers the test gives."""

    def __init__(self, action: LikenessAction, **identity: Any) -> None:
        devices = (
            device_settings("p", role=Role.PRIMARY),
            device_settings("a"),
            device_settings("b"),
            device_settings("z", role=Role.BACKUP),
        )
        self.fake = FakeGroup(*devices, identity=Identity(action=action, probes=(ECHO, TABLE), **identity))
        self.likeness: GroupLikeness = self.fake.group.likeness
        self.woken: list[str] = []
        self.shows = dict.fromkeys("pabz", portrait())
        for name in self.shows:
            self.likeness.enlist(self.fake[name], lambda name=name: self.woken.append(name), None, self.fake.now)  # type: ignore[arg-type, misc]
        self.fake.ready()

    def check(self, *names: str) -> None:
        """As `Prober` does it."""
        for name in names:
            device, shown = self.fake[name], self.shows[name]
            comparison = self.likeness.settled_by(device, shown)
            if comparison is None:
                reference = self.likeness.reference_for(device)
                if reference is None:
                    comparison = self.likeness.without_reference(shown)
                else:
                    self.likeness.showed(reference, self.shows[reference.name], self.fake.now)
                    comparison = compare(shown, self.shows[reference.name])
            self.likeness.judge(device, shown, comparison, self.fake.now)
            self.fake.group.changed(device)

    def reconnect(self, name: str) -> None:
        for upstream in tuple(self.fake[name].upstreams):
            self.fake.lose(upstream)
        self.fake.open(name)
        self.fake.up(name)

    def state(self, name: str) -> Likeness:
        return self.fake[name].likeness.state

    def health(self, name: str) -> Health:
        return self.fake[name].health

    @property
    def serving(self) -> list[str]:
        return [device.name for device in self.fake.group.scheduler.serving]

    def events(self, event: str) -> list[Any]:
        return [facts["device"] for told, facts in self.fake.told if told == event]
