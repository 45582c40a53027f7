"""One write journal among several group cores, as processes share it: turns, and what each has read of it."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from balancer import intents
from balancer.intents import Intent, Mark

SALT = b"salt of a test"


class CommonFile:
    """The lines, and whose turn it is. Call `settle` when something has happened."""

    def __init__(self) -> None:
        self.lines = [intents.header_line(SALT)]
        self.holder: CommonJournal | None = None
        self.members: list[CommonJournal] = []
        self.line: list[CommonJournal] = []  # who waits for the turn, in the order of asking
        self.broken = False

    def settle(self) -> None:
        """Notes come into the file, and who waits has its turn."""
        for member in tuple(self.members):
            if self.holder is None and member.notes:
                self.holder = member
                member.catch_up()
                self.holder = None
        for member in tuple(self.line):
            if self.holder is None and member.wanted is not None:
                self.line.remove(member)
                again, member.wanted = member.wanted, None
                self.holder = member
                member.catch_up()
                again()


class CommonJournal:
    """What one process has of it; the intent is durable at once, or, with ``file.broken``, refused."""

    def __init__(self, file: CommonFile) -> None:
        history = intents.read(line.rstrip() for line in file.lines)
        assert history is not None
        self.history = history
        self.begun_elsewhere = 0
        self.heard = list(history.begun)
        self.notes: list[bytes] = []
        self.wanted: Callable[[], None] | None = None
        self._file = file
        self._read = len(file.lines)
        file.members.append(self)
        self.look()

    @property
    def alone(self) -> bool:
        return len(self._file.members) == 1

    def begin(self, intent: Intent, request: bytes, durable: Callable[[bool], None]) -> None:
        assert self._file.holder is self
        if self._file.broken:
            durable(False)
            return
        whole = attrs.evolve(intent, digest=self.history.digest(request), at=1.0)
        self.history.begin(whole)
        self._note(intents.intent_line(whole))
        durable(True)

    def tell(self, name: str, mark: Mark) -> None:
        self.history.tell(name, mark)
        self._note(intents.mark_line(name, mark))

    def end(self, number: int, result: str) -> None:
        assert self._file.holder is self
        self.history.end(number)
        self._note(intents.end_line(number, result))
        self._file.holder = None

    def equal(self, name: str, last: int) -> None:
        self.history.equal(name, last)
        self._note(intents.equal_line(name, last))

    def go_on_from(self, number: int) -> None:
        self.history.go_on_from(number)
        self._note(intents.last_line(number))

    def take_turn(self, again: Callable[[], None]) -> bool:
        if self._file.holder is None and not any(member is not self for member in self._file.line):
            self._file.holder = self
            self.catch_up()
        if self._file.holder is self:
            self.leave_line()
            return True
        self.wanted = again
        if self not in self._file.line:
            self._file.line.append(self)
        return False

    def give_turn(self) -> None:
        self.leave_line()
        if self._file.holder is self:
            self._file.holder = None

    def leave_line(self) -> None:
        self.wanted = None
        if self in self._file.line:
            self._file.line.remove(self)

    def look(self) -> None:
        if self._file.holder is self:
            return
        self._read_on()
        if self.history.open and self._file.holder is None:
            self._file.holder = self
            self.catch_up()
            self._file.holder = None

    def catch_up(self) -> None:
        """It is our turn: what somebody left open who has died is in doubt."""
        self._read_on()
        self._file.lines += [*self.notes, *self.history.recover()]
        self.notes.clear()
        self._read = len(self._file.lines)

    def die(self) -> None:
        self._file.members.remove(self)
        self.leave_line()
        if self._file.holder is self:
            self._file.holder = None

    def _note(self, line: bytes) -> None:
        if self._file.holder is self:
            self._file.lines.append(line)
            self._read = len(self._file.lines)
        else:
            self.notes.append(line)

    def _read_on(self) -> None:
        new = [line.rstrip() for line in self._file.lines[self._read :]]
        begun = intents.read_on(self.history, new)
        self._read = len(self._file.lines)
        self.begun_elsewhere += len(begun)
        self.heard += begun
