"""One write on its way, and where its intent is written down. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from config.model import Writes

from .exchange import Exchange
from .intents import History, Intent, Mark
from .wire.message import field

if TYPE_CHECKING:
    from .device import Device

_SLOT_DIGITS: Final = 6


class Journal(Protocol):
    """Where intents are written down before a write leaves; `guardian.journal` has the file."""

    def begin(self, intent: Intent, request: bytes, durable: Callable[[bool], None]) -> None:
        """Fill in ``intent``'s digest and write it down. ``durable`` is called once, with False where that failed."""

    def tell(self, name: str, mark: Mark) -> None: ...

    def end(self, number: int, result: str) -> None: ...

    def equal(self, name: str, last: int) -> None:
        """``last``: number of the last write that was known when it was shown."""

    def go_on_from(self, number: int) -> None:
        """Numbers up to this one were used before this journal was."""

    # Other processes may write to the same devices, and into the same journal: each has to wait for its turn.

    history: History  # what all of them have said so far, as far as it was looked at
    begun_elsewhere: int  # writes that were heard of, since the start
    heard: list[Intent]  # the same, for `Behind` to take away

    @property
    def alone(self) -> bool:
        """Whether no other process may write now."""

    def take_turn(self, again: Callable[[], None]) -> bool:
        """Whether a write may begin, knowing all that was said; if not, ``again`` is called when it may."""

    def give_turn(self) -> None:
        """After `take_turn`, where no write was begun; `end` gives it back as well."""

    def look(self) -> None:
        """Take in what others have said."""


class NoJournal:
    """For a group without one: after a crash of the proxy nobody knows what was in doubt, and nobody else writes."""

    def __init__(self) -> None:
        self.history = History(b"")
        self.begun_elsewhere = 0
        self.heard: list[Intent] = []

    @property
    def alone(self) -> bool:
        return True

    def go_on_from(self, number: int) -> None: ...

    def take_turn(self, again: Callable[[], None]) -> bool:
        return True

    def give_turn(self) -> None: ...

    def look(self) -> None: ...

    def begin(self, intent: Intent, request: bytes, durable: Callable[[bool], None]) -> None:
        durable(True)

    def tell(self, name: str, mark: Mark) -> None: ...

    def end(self, number: int, result: str) -> None: ...

    def equal(self, name: str, last: int) -> None: ...


class Write:
    """One write on its way."""

    __slots__ = (
        "adopted",
        "advancing",
        "answer",
        "asked",
        "exchange",
        "first",
        "have",
        "intent",
        "marks",
        "needed",
        "number",
        "sent_at",
        "tried",
        "waves",
    )

    def __init__(self, number: int, exchange: Exchange, first: Device, *, marks: bool) -> None:
        """``marks``: who lacks it is behind."""
        self.number = number
        self.exchange = exchange
        self.first = first
        self.marks = marks
        self.waves: list[list[Device]] = []  # who gets it after the first, and after whom
        self.needed = 1  # devices that must have it before the client hears of success
        self.have = 0
        self.asked: list[Device] = []  # those of the current wave that have not ended it
        self.answer: bytes | None = None  # the first's
        self.tried: list[Device] = []  # asked to be the first
        self.sent_at = 0.0
        self.advancing = False
        self.adopted = False  # a journal that came meanwhile knows of it too
        self.intent: Intent

    def mark(self, outcome: str) -> Mark:
        """What becomes of it on one device, as it is written down."""
        return Mark(number=self.number, code=self.exchange.command.label, outcome=outcome)

    @property
    def reachable(self) -> int:
        """How many devices may have it in the end."""
        not_yet = 0 if self.have else 1  # the first
        return self.have + not_yet + len(self.asked) + sum(len(wave) for wave in self.waves)

    @property
    def alone(self) -> bool:
        """Two devices would give two different right answers: it runs on one device only."""
        return not self.exchange.command.deterministic


def stands_alone(write: Write, settings: Writes) -> bool:
    """Whether a new key came back in the answer, and went into no key table."""
    request, answer = write.exchange.request, write.answer or b""
    return not any(
        field(message, tag.encode()) is not None for tag in settings.slot_fields for message in (request, answer)
    ) and any(field(answer, tag.encode()) for tag in settings.key_fields)


def slot_of(request: bytes, settings: Writes) -> str | None:
    """The number of the slot that a request names, for the journal; nothing else of it."""
    for tag in settings.slot_fields:
        value = field(request, tag.encode())
        if value is not None and value.isdigit() and len(value) <= _SLOT_DIGITS:
            return value.decode("ascii")
    return None
