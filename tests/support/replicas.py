"""A group under writes: devices that note what they ran, a journal that a test holds up, and the proxy's crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from balancer import intents
from balancer.intents import History, Intent, Mark
from balancer.upstream import Upstream
from config import model
from tests.support.core import Asked, FakeGroup, device_settings

SALT = b"salt of a test"


class FakeJournal:
    """The lines that would be in the file. With `held`, intents wait until `let_go`."""

    def __init__(self, lines: list[bytes] | None = None) -> None:
        self.lines = [intents.header_line(SALT)] if lines is None else list(lines)
        history = intents.read(line.rstrip() for line in self.lines)
        assert history is not None
        self.history = history
        self.history.recover()
        self.synced = len(self.lines)  # so many would be there after a power cut; the rest may be
        self.begun_elsewhere = 0
        self.heard: list[Intent] = []
        self.alone = True
        self.held = False
        self.broken = False
        self._waiting: list[tuple[Intent, Callable[[bool], None]]] = []

    def begin(self, intent: Intent, request: bytes, durable: Callable[[bool], None]) -> None:
        whole = attrs.evolve(intent, digest=self.history.digest(request), at=1.0)
        self._waiting.append((whole, durable))
        if not self.held:
            self.let_go()

    def let_go(self) -> None:
        """The disk has what waits for it, or says that it cannot."""
        waiting, self._waiting = self._waiting, []
        for intent, durable in waiting:
            self.history.begin(intent)
            if not self.broken:
                self.lines.append(intents.intent_line(intent))
                self.synced = len(self.lines)
            if self.broken:
                self.history.end(intent.number)
            durable(not self.broken)

    def tell(self, name: str, mark: Mark) -> None:
        self.history.tell(name, mark)
        self.lines.append(intents.mark_line(name, mark))

    def end(self, number: int, result: str) -> None:
        self.history.end(number)
        self.lines.append(intents.end_line(number, result))

    def equal(self, name: str, last: int) -> None:
        self.history.equal(name, last)
        self.lines.append(intents.equal_line(name, last))

    def go_on_from(self, number: int) -> None:
        self.history.go_on_from(number)
        self.lines.append(intents.last_line(number))

    def begin_elsewhere(self, number: int, *devices: str) -> None:
        """Another process begins a write, for the devices that it knows."""
        intent = Intent(number=number, code="GPKD", digest="", slot=None, devices=devices, at=1.0)
        self.history.begin(intent)
        self.lines.append(intents.intent_line(intent))
        self.begun_elsewhere += 1
        self.heard.append(intent)

    def take_turn(self, again: Callable[[], None]) -> bool:
        return True

    def give_turn(self) -> None: ...

    def look(self) -> None: ...

    def renew(self) -> None:
        """The same in fewer lines, as the real one does when it has grown."""
        history = intents.read(line.rstrip() for line in self.lines)
        assert history is not None
        self.lines = history.lines()
        self.synced = len(self.lines)

    def read(self) -> History:
        """What a proxy would find that starts now."""
        return FakeJournal(self.lines).history


class Replicas(FakeGroup):
    """`FakeGroup` whose devices run what is answered, and note it in `ran`, by name."""

    def __init__(self, *devices: model.Device, writes: model.Writes | None = None, **settings: Any) -> None:
        super().__init__(*devices, writes=writes or model.Writes(), **settings)
        self.journal = FakeJournal()
        self.group.writes.adopt(self.journal, 0, {}, self.now)
        self.ran: dict[str, list[bytes]] = {device.name: [] for device in self.group.devices}

    def at(self, name: str, asked: Asked) -> Upstream | None:
        """Where it is outstanding on that device."""
        return next((found for found in self.upstreams_of(asked) if found.device.name == name), None)

    def where(self, asked: Asked) -> list[str]:
        """On which devices it is outstanding."""
        return [upstream.device.name for upstream in self.upstreams_of(asked)]

    def run(self, name: str, asked: Asked, answer: bytes | None = None) -> None:
        """That device runs it and answers."""
        upstream = self.at(name, asked)
        assert upstream is not None, f"it is outstanding on {self.where(asked)}"
        upstream.link.flush()
        self.ran[name].append(asked.exchange.request)
        self.answer(upstream, answer)

    def refuse(self, name: str, asked: Asked) -> None:
        upstream = self.at(name, asked)
        assert upstream is not None
        tail = b"" if asked.exchange.context is None else b"AG%b;" % asked.exchange.context
        self.answer(upstream, b"[AOERRO;AM34;ANAO;BBINVALID TOKEN;" + tail + b"]")

    def cut(self, name: str, asked: Asked, *, ran: bool = False, written: bool = True) -> None:
        """The connection breaks before the answer."""
        upstream = self.at(name, asked)
        assert upstream is not None
        if ran:
            self.ran[name].append(asked.exchange.request)
        self.lose(upstream, written=written)

    def write(self, code: str = "GPKD", request: bytes | None = None) -> Asked:
        return self.submit(request, code=code)

    def behind(self) -> set[str]:
        return {device.name for device in self.group.devices if device.tracker.is_behind}

    def show_equal(self, name: str) -> None:
        """As a likeness check does, and then good pings."""
        self[name].tracker.shown_equal(self.now)
        self.up(name)
        self.wait(0.0)


__all__ = ["Asked", "FakeJournal", "Replicas", "device_settings"]
