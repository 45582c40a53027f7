"""What reached a device, in the order it came, and what became of it: the witness that tests ask afterwards."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator

import attrs

from .accounts import LoginTry
from .faults import FaultKind
from .refusal import MISSING_KEY


class Outcome(enum.Enum):
    """How far a request got."""

    ARRIVED = "arrived"  # read whole, and not worked on (yet, or ever)
    EXECUTED = "executed"  # worked on; its answer did not leave, or not whole
    ANSWERED = "answered"  # its answer was handed to the kernel
    REFUSED = "refused"  # answered with ERRO, nothing else happened


class Change(enum.Enum):
    """What happened to the whole device."""

    KILLED = "killed"
    CAME_BACK = "came back"  # with the key table it had
    CAME_BACK_EMPTY = "came back empty"
    CAME_BACK_OLD = "came back old"  # with the key table of a snapshot


@attrs.frozen
class Event:
    at: float  # seconds of time.monotonic()
    change: Change
    table: str  # the key table's digest from then on


@attrs.define(eq=False)
class Record:
    """One request that reached the device, or stray bytes (`code` is empty)."""

    at: float  # seconds of time.monotonic() when the request was complete
    connection: int  # counted up from 1 over the whole life of the device
    identity: str | None  # who was logged in when it came
    code: str
    request: bytes
    outcome: Outcome = Outcome.ARRIVED
    answer: bytes | None = None  # what the function gave, before any fault touched it
    fault: FaultKind | None = None  # what was done to the answer
    ran: float | None = None  # seconds of time.monotonic() when its function had run
    users: tuple[str, ...] | None = None  # all logins of the connection when it ran; None: anonymous, or never run
    login: LoginTry | None = None  # what became of it, if it was a login
    table: str | None = None  # the key table's digest afterwards, if it changed that

    @property
    def error(self) -> int | None:
        """The AM number of an error answer."""
        if self.answer is None or not self.answer.startswith(b"[AOERRO;AM"):
            return None
        return int(self.answer[10:].partition(b";")[0])

    @property
    def missed_a_key(self) -> bool:
        """Whether it was refused because this device has not got a key that it names."""
        return self.error in MISSING_KEY


class Journal:
    """All records, or the last `limit` ones, and all events. Survives kill and restart of its device."""

    def __init__(self, limit: int | None = None) -> None:
        self.records: deque[Record] = deque(maxlen=limit)
        self.events: list[Event] = []

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def of(self, code: str) -> list[Record]:
        """The records of one function."""
        return [record for record in self.records if record.code == code]

    def executed(self, code: str | None = None) -> list[Record]:
        """What the device worked on, whether or not the answer left."""
        done = (Outcome.EXECUTED, Outcome.ANSWERED)
        return [record for record in self.records if record.outcome in done and code in (None, record.code)]

    def logins(self) -> list[Record]:
        """Every login request that was worked on, with its result in `login`."""
        return [record for record in self.records if record.login is not None]

    def count(self, request: bytes) -> int:
        """How often exactly these bytes came: more than once means that a request was sent again."""
        return sum(record.request == request for record in self.records)
