"""What reached a device, in the order it came, and what became of it: the witness that tests ask afterwards."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator

import attrs

from .faults import FaultKind


class Outcome(enum.Enum):
    """How far a request got."""

    ARRIVED = "arrived"  # read whole, and not worked on (yet, or ever)
    EXECUTED = "executed"  # worked on; its answer did not leave, or not whole
    ANSWERED = "answered"  # its answer was handed to the kernel
    REFUSED = "refused"  # answered with ERRO, nothing else happened


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


class Journal:
    """All records, or the last `limit` ones. Survives kill and restart of its device."""

    def __init__(self, limit: int | None = None) -> None:
        self.records: deque[Record] = deque(maxlen=limit)

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

    def count(self, request: bytes) -> int:
        """How often exactly these bytes came: more than once means that a request was sent again."""
        return sum(record.request == request for record in self.records)
