"""The writes of a group: one at a time, on the primary first, then on every device in sync. Pure.

What is promised is in docs/writes.md, why so in docs/adr/0007-writes.md. The way of one write:

    queued -> its intent is durable -> sent to the primary -> answered -> sent to the production devices in sync
           -> to the backups in sync -> ended; the client hears of it as soon as the quorum has it

Nothing is ever sent twice to one device. Whoever lacks a write, or may lack it, is behind, and serves nothing until it
is shown equal again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from config.model import Nondeterministic, PrimaryLoss, Writes, WritesMode
from health.state import Health

from .behind import Behind, Tell
from .exchange import NEVER, Exchange
from .intents import DONE, DOUBT, Intent, Mark
from .rest import Rest
from .session import Session
from .snapshot import Outcome, Will, WritesSnapshot
from .succession import ALIVE, Succession, in_sync
from .write import Journal, Write, slot_of, stands_alone

if TYPE_CHECKING:
    from .device import Device
    from .group import Group

_NEVER_WRITTEN: Final = (Outcome.NO_DEVICE, Outcome.BUSY, Outcome.LOGIN_LOST)


class GroupWrites:
    """Takes the writes of a group, and keeps who is behind. Times are seconds of the group's clock."""

    def __init__(self, group: Group, tell: Tell) -> None:
        self.queue: deque[Exchange] = deque()
        self.current: Write | None = None
        self.succession = Succession(group, tell)
        self.behind = Behind(group, tell)
        self.results: dict[str, int] = {}
        self._group = group
        self._tell = tell
        self.rest = Rest(self)
        self._pumping = False
        self._in_line: Exchange | None = None  # the first of the queue, which waits for the turn of other processes
        self._in_line_until = 0.0

    @property
    def under_way(self) -> bool:
        """Whether key tables may be unlike at this moment because a write has reached some of them only."""
        self.behind.listen()
        return self.current is not None or self.behind.journal.history.open

    @property
    def writing(self) -> bool:
        """Whether one of ours is on its way."""
        return self.current is not None

    @property
    def done(self) -> int:
        """Writes that may have changed key tables since the start, those of other processes too."""
        self.behind.listen()
        return self.behind.done

    def submit(self, exchange: Exchange, now: float) -> None:
        """``exchange`` has its ``deadline`` and ``wait_until``. What was begun is ended without its client too."""
        settings = self._settings
        exchange.wait_until = min(exchange.wait_until, exchange.deadline)
        alone = not exchange.command.deterministic
        if self._group.settings.writes_mode is WritesMode.REJECT or (
            alone and settings.nondeterministic is Nondeterministic.REJECT
        ):
            self._count("rejected")
            exchange.finish(Outcome.BLOCKED, None)
        elif (self.current is not None or self.queue) and len(self.queue) >= self._group.settings.queue.size:
            self._count("not_sent")
            exchange.finish(Outcome.BUSY, None)
        else:
            self.queue.append(exchange)
            self.pump(now)

    def adopt(self, journal: Journal, last: int, behind: dict[str, Mark], now: float) -> None:
        """Use this journal, which says so. Devices that it names are behind, those of the group and those to come."""
        if self.current is not None:  # another journal knows of it; both do now
            journal.take_turn(_already_on_its_way)
            journal.begin(self.current.intent, self.current.exchange.request, _already_on_its_way)
            self.current.adopted = True
        self.behind.adopt(journal, last, behind, now)

    def expire(self, now: float) -> None:
        """What happens because time passes. Call it often."""
        self.rest.expire(now)
        self.behind.listen()
        self.behind.notice_equal()
        write = self.current
        if write is not None and not write.exchange.finished and now >= write.exchange.deadline:
            in_doubt = Outcome.UNKNOWN if write.have else Outcome.TIMEOUT if write.sent_at else Outcome.BUSY
            write.exchange.finish(in_doubt, None)
        if self.queue:
            first = self.queue[0]
            if self.current is not None:
                until = first.wait_until
            else:  # what it waits for but for other processes, which is a verdict on a device, ends by itself
                until = self._in_line_until if self._in_line is first else NEVER
            expired = [each for each in self.queue if now >= (until if each is first else each.wait_until)]
            self.queue = deque(each for each in self.queue if now < (until if each is first else each.wait_until))
            for exchange in expired:
                if not exchange.finished:
                    self._count("not_sent")
                    exchange.finish(Outcome.BUSY, None)
            self.pump(now)

    def snapshot(self) -> WritesSnapshot:
        return WritesSnapshot(
            queued=len(self.queue),
            under_way=self.current is not None or self.behind.journal.history.open,
            last_sequence=self.behind.sequence,
            behind={name: mark.number for name, mark in self.behind.marks.items()},
            in_doubt=tuple(name for name, mark in self.behind.marks.items() if mark.doubtful),
            promoted=None if self.succession.promoted is None else self.succession.promoted.name,
            results=dict(self.results),
        )

    # --- who -----------------------------------------------------------------------------------------------------

    @property
    def _settings(self) -> Writes:
        return self._group.settings.writes

    def _awaited(self, now: float, until: float) -> bool:
        """Whether to wait for a verdict on a device that is being looked at: it would miss the write."""
        return now < until and any(
            (device.health is Health.UNKNOWN or (device.likeness.held and device.health in ALIVE))
            and device.will is Will.READY
            and not device.leaving
            for device in self._group.devices
        )

    # --- one write -----------------------------------------------------------------------------------------------

    def pump(self, now: float) -> None:
        """Begin the next write, if none is under way."""
        if self._pumping or self.rest.wanted:
            return  # the loop below, further up the stack, goes on; or the rest's end does
        self._pumping = True
        try:
            while self.current is None and self.queue:
                exchange = self.queue[0]
                if not exchange.finished and self._awaited(now, exchange.wait_until):
                    break
                if not self.behind.journal.take_turn(self.take_turn):
                    self._wait_in_line(exchange, now)
                    return
                self._in_line = None
                self.behind.listen()
                self.queue.popleft()
                if not exchange.finished:
                    self._begin(exchange, now)
            if self.current is None:
                self._in_line = None
                self.behind.journal.give_turn()
        finally:
            self._pumping = False

    def _wait_in_line(self, exchange: Exchange, now: float) -> None:
        """Its patience with others begins here: one process would have begun it now, however long it has waited."""
        if self._in_line is not exchange:
            self._in_line = exchange
            self._in_line_until = min(now + self._group.settings.queue.timeout, exchange.deadline)

    def take_turn(self) -> None:
        """The journal says that it is our turn. A rest keeps it."""
        if self.rest.wanted:
            return
        if self.queue and self.current is None:
            self.pump(self._group.clock())
        elif self.current is None:
            self.behind.journal.give_turn()

    def _begin(self, exchange: Exchange, now: float) -> None:
        group = self._group
        self.behind.notice_equal()
        first = self.succession.first()
        if first is None:
            self._count("not_sent")
            exchange.finish(Outcome.NO_DEVICE, None)
            return
        settings = self._settings
        alone = not exchange.command.deterministic
        marks = group.settings.writes_mode is WritesMode.REPLICATE and (
            not alone or settings.nondeterministic is Nondeterministic.STALE
        )
        write = Write(self.behind.sequence + 1, exchange, first, marks=marks)
        if marks and not alone:
            others = [device for device in group.devices if device is not first and in_sync(device)]
            write.waves = [
                [device for device in others if not device.is_backup],
                [device for device in others if device.is_backup],
            ]
            write.needed = self.succession.quorum(1 + len(others))
            if write.needed > write.reachable:
                self._count("not_sent")
                exchange.finish(Outcome.NO_DEVICE, None)
                return
        self.behind.sequence = write.number
        self.current = write
        if isinstance(exchange.owner, Session):
            exchange.owner.clients += 1  # its connections stay until this is done, also if its clients leave
        write.intent = Intent(
            number=write.number,
            code=exchange.code.decode("ascii"),
            digest="",
            slot=slot_of(exchange.request, self._settings),
            devices=tuple(device.name for device in group.devices if not device.leaving) if marks else (),
            at=0.0,
        )
        self.behind.journal.begin(write.intent, exchange.request, partial(self._intended, write))

    def _intended(self, write: Write, durable: bool) -> None:
        """The journal has it, or could not take it; then nothing is sent."""
        exchange, now = write.exchange, self._group.clock()
        if not durable:
            self._tell("write refused: the journal cannot be written", write=write.number)
        if durable and not exchange.finished and now < exchange.deadline:
            self._send_first(write, write.first, now)
        else:
            exchange.finish(Outcome.BUSY, None)
            self._end(write, "not_sent", journaled=durable or write.adopted)

    def _send_first(self, write: Write, device: Device, now: float) -> None:
        write.first = device
        write.tried.append(device)
        leg = self._leg(write, write.exchange.deadline, now, partial(self._first_ended, write, device))
        # Not what is left of its time in the queue: that may have passed while it waited for a verdict or its turn.
        leg.wait_until = min(now + self._group.settings.queue.timeout, leg.deadline)
        if in_sync(device):
            write.sent_at = now
            self._group.submit_to(device, leg, now)
        else:
            leg.finish(Outcome.NO_DEVICE, None)

    def _leg(self, write: Write, deadline: float, now: float, done: Callable[[Exchange], None]) -> Exchange:
        """The same bytes for one device, in the name of the same owner."""
        whole = write.exchange
        leg = Exchange(whole.request, whole.code, whole.context, whole.command, whole.owner, done, now)
        leg.bound = True
        leg.deadline = leg.wait_until = deadline
        return leg

    def _first_ended(self, write: Write, device: Device, leg: Exchange) -> None:
        exchange, outcome = write.exchange, leg.outcome
        if outcome is Outcome.OK:
            self._ran(write, leg.answer)
        elif outcome is Outcome.DEVICE_ERROR:
            exchange.device, exchange.device_seconds = device, leg.device_seconds
            exchange.finish(outcome, leg.answer)
            self._end(write, "refused")
        elif outcome in _NEVER_WRITTEN:
            exchange.seen = exchange.seen or leg.seen
            if outcome is Outcome.NO_DEVICE and self._another_first(write):
                return
            exchange.finish(outcome, None)
            self._end(write, "not_sent")
        else:
            self.behind.done += 1
            self._tell("write in doubt", write=write.number, command=exchange.command.label, device=device.name)
            if write.marks:
                self.behind.fall(device, write.mark(DOUBT))
            exchange.finish(outcome, None)
            self._end(write, "in_doubt")

    def _another_first(self, write: Write) -> bool:
        """Nothing was written: ask another device to be the first, where the settings allow."""
        if self._settings.primary_loss is PrimaryLoss.REFUSE:
            return False
        self.succession.promote(write.tried)
        chosen = self.succession.promoted
        if chosen is None:
            return False
        write.waves = [[each for each in wave if each is not chosen] for wave in write.waves]
        if write.waves:
            write.needed = self.succession.quorum(write.reachable)
        if write.needed > write.reachable:
            return False
        self._send_first(write, chosen, self._group.clock())
        return True

    def _ran(self, write: Write, answer: bytes | None) -> None:
        """The first has it, and this is the client's answer."""
        write.answer = answer
        write.have = 1
        self.behind.has(write.first, write.mark(DONE))
        if not (write.alone and stands_alone(write, self._settings)):
            self.behind.done += 1
            self._leave_behind(write)
        self._tell_client(write)
        self._advance(write)

    def _leave_behind(self, write: Write) -> None:
        """Who will not get it is behind; where nobody else is to get it, the primary is, if another took its place."""
        if write.marks:
            targets = [device for wave in write.waves for device in wave]
            left = [device for device in self._group.devices if device not in targets]
        else:
            left = [device for device in self._group.devices if device is self.succession.primary]
        for device in left:
            if device is not write.first and not device.leaving:
                self.behind.fall(device, write.mark("missed"))

    def _advance(self, write: Write) -> None:
        """Send it to the next wave when the one before has ended; end it after the last."""
        if write.advancing:
            return  # the loop below, further up the stack, goes on
        write.advancing = True
        while write.waves and not write.asked:
            wave = write.waves.pop(0)
            write.asked = list(wave)
            now = self._group.clock()
            for device in wave:
                deadline = now + self._group.settings.request_timeout
                leg = self._leg(write, deadline, now, partial(self._other_ended, write, device))
                if in_sync(device):
                    self._group.submit_to(device, leg, now)
                else:
                    leg.finish(Outcome.NO_DEVICE, None)
        write.advancing = False
        if not write.asked:
            self._end(write, "ok" if write.have >= write.needed else "short")

    def _other_ended(self, write: Write, device: Device, leg: Exchange) -> None:
        """A device after the first was asked to run it too."""
        write.asked.remove(device)
        outcome = leg.outcome
        if outcome is Outcome.OK and self._same(write, leg.answer):
            write.have += 1
            self.behind.has(device, write.mark(DONE))
        elif outcome is Outcome.OK:
            self.behind.fall(device, write.mark("differs"))
        elif outcome is Outcome.DEVICE_ERROR:
            self.behind.fall(device, write.mark("refused"))
        elif outcome in _NEVER_WRITTEN:
            self.behind.fall(device, write.mark("missed"))
        else:
            self.behind.fall(device, write.mark(DOUBT))
        self._caught_up(device)
        self._tell_client(write)
        self._advance(write)

    def _same(self, write: Write, answer: bytes | None) -> bool:
        return answer == write.answer or write.exchange.command.label in self._settings.varying

    def _tell_client(self, write: Write) -> None:
        """Success as soon as the quorum has it, doubt as soon as it cannot be reached any more."""
        exchange = write.exchange
        exchange.device, exchange.device_seconds = write.first, self._group.clock() - write.sent_at
        if self._settings.quorum == "all":
            write.needed = min(write.needed, write.reachable)  # who fell out is in sync no more, and serves nothing
        # Who lags serves nothing here; other processes do not know who does.
        enough = write.needed if self.behind.journal.alone else max(write.needed, write.reachable)
        if write.have >= enough:
            self._hold_back(write)
            exchange.finish(Outcome.OK, write.answer)
        elif write.reachable < write.needed:
            exchange.finish(Outcome.UNKNOWN, None)

    def _hold_back(self, write: Write) -> None:
        """From now on clients rely on the write: whoever has not answered it yet serves nothing until it has."""
        for device in (*write.asked, *(device for wave in write.waves for device in wave)):
            if not device.lagging:
                device.lagging = True
                self._group.changed(device)

    def _caught_up(self, device: Device) -> None:
        if device.lagging:
            device.lagging = False
            self._group.changed(device)

    def _end(self, write: Write, result: str, *, journaled: bool = True) -> None:
        if journaled:
            self.behind.journal.end(write.number, result)
        self._count(result)
        self.current = None
        owner = write.exchange.owner
        if isinstance(owner, Session):
            self._group.sessions.leave(owner)
        self.pump(self._group.clock())

    def _count(self, result: str) -> None:
        self.results[result] = self.results.get(result, 0) + 1


def _already_on_its_way(*_durable: bool) -> None:
    """Of a write whose journal was exchanged."""
