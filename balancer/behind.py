"""Which devices lack a write, or may: by this process's writes, by checks, and by what other processes wrote. Pure.

Whoever is behind serves nothing until it is shown equal again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .intents import History, Intent, Mark
from .write import Journal, NoJournal

if TYPE_CHECKING:
    from .device import Device
    from .group import Group

Tell = Callable[..., None]


class Behind:
    """One for each group, beside its `GroupWrites`. Times are seconds of the group's clock."""

    def __init__(self, group: Group, tell: Tell) -> None:
        self.marks: dict[str, Mark] = {}  # by name: a device may be taken out and come back
        self.journal: Journal = NoJournal()
        self.sequence = 0  # number of the last write
        self.done = 0  # writes that may have changed key tables since the start, those heard of included
        self._group = group
        self._tell = tell
        self._heard_of = 0  # writes of other processes that are counted in `done`

    def adopt(self, journal: Journal, last: int, marks: dict[str, Mark], now: float) -> None:
        """Use this journal, which says so: number of the last write, and who is behind, in the group now or not yet."""
        self.journal = journal
        self._heard_of = journal.begun_elsewhere
        if self.sequence > last:
            journal.go_on_from(self.sequence)  # or "equal as of" it would be read as of earlier writes
        self.sequence = max(self.sequence, last)
        for name, mark in self.marks.items():
            journal.tell(name, mark)
        for name, mark in marks.items():
            self.marks.setdefault(name, mark)
        for device in self._group.devices:
            self.enlist(device, now)

    def enlist(self, device: Device, now: float) -> None:
        """A device has come to the group; it may have been here before."""
        mark = self.marks.get(device.name)
        if mark is not None and not device.leaving and not device.tracker.is_behind:
            self._take_out(device, mark, now)

    def fall(self, device: Device, mark: Mark) -> None:
        """It lacks this write, or may: it serves nothing, and nobody goes on talking to it."""
        self.journal.tell(device.name, mark)  # each time: another process may just have seen it equal without this one
        if device.name not in self.marks:
            self.marks[device.name] = mark
            self._take_out(device, mark, self._group.clock())
            self._let_go(device)

    def has(self, device: Device, mark: Mark) -> None:
        self.journal.tell(device.name, mark)

    def notice_equal(self) -> None:
        """Whoever compared a device, or vouched for it, told its tracker."""
        if not self.marks:
            return
        for device in self._group.devices:
            if device.name in self.marks and not device.leaving and not device.tracker.is_behind:
                del self.marks[device.name]
                self.journal.equal(device.name, self.sequence)
                self._tell("device equal again", device=device.name)

    def listen(self) -> None:
        """What other processes did: numbers go on from theirs, who is behind there is behind here, and back."""
        journal = self.journal
        journal.look()
        history = journal.history
        if journal.begun_elsewhere != self._heard_of:
            self.notice_equal()  # shown before these, and no proof for them
            self.done += journal.begun_elsewhere - self._heard_of
            self._heard_of = journal.begun_elsewhere
        self.sequence = max(self.sequence, history.last)
        if journal.heard:
            heard, journal.heard = journal.heard, []
            for intent in heard:
                self._left_out(intent)
        if history.behind.keys() != self.marks.keys() and not isinstance(journal, NoJournal):
            self._follow(history)

    def _left_out(self, intent: Intent) -> None:
        """Devices that the writer does not know do not get its write. Whether it is refused is not awaited."""
        if not intent.devices:
            return  # nothing follows from it for any device
        for device in self._group.devices:
            if not device.leaving and device.name not in intent.devices:
                self.fall(device, Mark(number=intent.number, code=intent.code, outcome="missed"))

    def _follow(self, history: History) -> None:
        now = self._group.clock()
        for name, mark in history.behind.items():
            if name not in self.marks:
                self.marks[name] = mark
                for device in self._present(name):
                    self.enlist(device, now)
                    self._let_go(device)
        for name in [name for name in self.marks if name not in history.behind]:
            del self.marks[name]
            for device in self._present(name):
                device.tracker.shown_equal(now)
                self._group.changed(device)
                self._tell("device equal again", device=name)

    def _present(self, name: str) -> list[Device]:
        return [device for device in self._group.devices if device.name == name and not device.leaving]

    def _take_out(self, device: Device, mark: Mark, now: float) -> None:
        device.lacks = mark.number
        self._group.likeness.fell_behind(device, mark.reason, now)
        self._tell("device behind", device=device.name, reason=mark.reason)

    def _let_go(self, device: Device) -> None:
        self._group.changed(device)
        for upstream in tuple(device.private):
            upstream.close("its key table is behind")
