"""What clients and devices wrote down during a run: what the checkers judge, and nothing else."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Final

import attrs

from loadtest.simhsm.journal import Outcome, Record

NOTHING_SENT: Final = frozenset({901, 902, 904, 908})  # AM numbers that say that no device saw the request
OUTCOME_UNKNOWN: Final = 903
OWN: Final = frozenset(range(901, 910))  # every AM number of the proxy's own


class Does(enum.Enum):
    READ = "read"  # changes nothing, may run more than once
    WRITE = "write"
    LOGIN = "login"  # whoever shares a login sends the same bytes, so it has no mark


@attrs.define(eq=False, kw_only=True)
class Asked:
    """One request of a client, and what it heard. Times are seconds of time.monotonic()."""

    client: int
    life: int  # one connection after the other, counted up over all clients
    number: int  # the place among the requests of its connection
    identity: str  # the client certificate's name
    user: str | None  # as whom the client was logged in when it sent this
    does: Does
    request: bytes
    at: float
    slot: int | None = None  # which slot of the key table it writes or needs; a slot belongs to one client
    key: bytes | None = None  # a write: what is in the slot afterwards; None is empty
    data: bytes = b""  # a read of a slot: of what it wants the MAC
    answer: bytes | None = None
    answered: float | None = None
    waited: bool = False  # it gave up waiting, though the connection was there

    @property
    def code(self) -> bytes:
        return self.request[3:7]

    @property
    def mark(self) -> bytes | None:
        return mark_of(self.request)

    @property
    def error(self) -> int | None:
        """The AM number of an error answer."""
        return error_of(self.answer)

    @property
    def refused(self) -> bool:
        return self.error in NOTHING_SENT

    @property
    def good(self) -> bool:
        """Answered by its own function."""
        return self.answer is not None and self.answer.startswith(b"[AO" + self.code)


@attrs.frozen(kw_only=True)
class Seen:
    """A device's record, with the device's name."""

    device: str
    record: Record

    @property
    def executed(self) -> bool:
        return self.record.outcome in (Outcome.EXECUTED, Outcome.ANSWERED)

    @property
    def ran(self) -> float:
        return self.record.ran if self.record.ran is not None else self.record.at


@attrs.frozen(kw_only=True)
class Promises:
    """What the proxy is held to. What is False is not checked, and the run does not ask for it."""

    sessions: bool = True  # a login follows the client to every device
    writes: bool = True  # a write reaches every device in sync
    likeness: bool = True  # a device whose key table differs serves nothing
    quorum: int = 1  # devices that have a write when its client hears of it
    doubt: float = 5.0  # seconds for which what was never answered may still run


@attrs.define(eq=False, kw_only=True)
class History:
    asked: list[Asked]  # in the order of `number` within each life
    devices: Mapping[str, list[Record]]
    promises: Promises = Promises()
    tables: Mapping[str, Mapping[int, bytes]] = attrs.field(factory=dict)  # at the end, of devices in service

    @cached_property
    def by_mark(self) -> dict[bytes, Asked]:
        return {mark: asked for asked in self.asked if (mark := asked.mark) is not None}

    @cached_property
    def seen(self) -> dict[bytes, list[Seen]]:
        """What devices saw of each request, by its bytes, in the order it came."""
        found: dict[bytes, list[Seen]] = defaultdict(list)
        for one in self.everything_seen():
            found[one.record.request].append(one)
        return found

    def of(self, asked: Asked) -> list[Seen]:
        return self.seen.get(asked.request, [])

    def everything_seen(self) -> Iterator[Seen]:
        for device, records in self.devices.items():
            for record in records:
                yield Seen(device=device, record=record)


def mark_of(message: bytes) -> bytes | None:
    """The value of its AG field."""
    _, found, rest = message.partition(b";AG")
    return rest.partition(b";")[0] if found else None


def error_of(answer: bytes | None) -> int | None:
    if answer is None or not answer.startswith(b"[AOERRO;AM"):
        return None
    return int(answer[10:].partition(b";")[0])
