"""What the write journal says: its records, one JSON line each, and what they leave in doubt. Pure.

A record holds no field value: code, keyed hash of the message, slot, names of devices, how it ended on each. The file
itself is `guardian.journal`; what is promised with it is in docs/writes.md.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Any, Final

import attrs

_FORM: Final = 1
DONE: Final = "done"  # the device has the write
DOUBT: Final = "doubt"  # it was sent there, and nobody knows whether it ran
OUTCOMES: Final = {
    DONE: "has",
    DOUBT: "may have",
    "missed": "missed",
    "refused": "refused",
    "differs": "answered otherwise to",
}


_WRONG: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


class JournalDamaged(ValueError):  # noqa: N818 - named for what happened
    """A line that cannot have been written by us. What it said is unknown, so a person has to look."""


@attrs.frozen(kw_only=True)
class Intent:
    """One write, before it leaves."""

    number: int  # counts up over the life of the journal
    code: str
    digest: str  # of the whole message, keyed with the journal's salt, hexadecimal
    slot: str | None  # of the key table, where the request names one
    devices: tuple[str, ...]  # everyone who must be as the others afterwards: until told otherwise they are in doubt
    at: float  # Unix time


@attrs.frozen(kw_only=True)
class Mark:
    """Why a device is behind."""

    number: int  # the first write that it lacks, or may lack
    code: str
    outcome: str

    @property
    def doubtful(self) -> bool:
        return self.outcome == DOUBT

    @property
    def reason(self) -> str:
        """For people: in /status, logs and `docs/operations.md`."""
        return f"key table behind: it {OUTCOMES[self.outcome]} write {self.number} ({self.code})"


class History:
    """What is known after the records so far. Each method that takes something in gives the line that says so."""

    def __init__(self, salt: bytes) -> None:
        self.salt = salt
        self.last = 0  # number of the last write
        self.behind: dict[str, Mark] = {}  # devices by name
        self._lacks: dict[str, int] = {}  # the last write that a device is known to lack
        self._open: dict[int, Intent] = {}  # writes that were begun and not ended
        self._had: dict[int, set[str]] = {}  # devices that have such a write, or were told something else of it

    def digest(self, request: bytes) -> str:
        """Without the salt it could be found by trying what a message may be."""
        return hmac.new(self.salt, request, hashlib.sha256).hexdigest()

    def begin(self, intent: Intent) -> None:
        self.last = max(self.last, intent.number)
        self._open[intent.number] = intent
        self._had.setdefault(intent.number, set())

    def tell(self, name: str, mark: Mark) -> None:
        """How a write ended on one device; a mark with `DONE` says that it is not behind by it."""
        if mark.number in self._had:
            self._had[mark.number].add(name)
        self.last = max(self.last, mark.number)
        if mark.outcome != DONE:
            self.behind.setdefault(name, mark)
            self._lacks[name] = max(self._lacks.get(name, 0), mark.number)

    def go_on_from(self, number: int) -> None:
        """Numbers up to this one were used, elsewhere."""
        self.last = max(self.last, number)

    def end(self, number: int) -> None:
        """Everything is said of that write: devices that were not told of are not concerned."""
        self._open.pop(number, None)
        self._had.pop(number, None)

    def equal(self, name: str, last: int | None = None) -> None:
        """The device was shown to be as the others, whatever it lacked of the writes up to ``last``."""
        if last is not None and self._lacks.get(name, 0) > last:
            return  # another process has left it out of a later one meanwhile
        self.behind.pop(name, None)
        self._lacks.pop(name, None)
        for told in self._had.values():
            told.add(name)

    @property
    def begun(self) -> tuple[Intent, ...]:
        """Writes that have not ended."""
        return tuple(self._open.values())

    @property
    def open(self) -> bool:
        """Whether a write was begun and not ended."""
        return bool(self._open)

    def recover(self) -> list[bytes]:
        """Nobody will end what is still open: its devices are in doubt until they are compared. Gives what says so."""
        said: list[bytes] = []
        for number, intent in tuple(self._open.items()):
            for name in intent.devices:
                if name not in self._had[number]:
                    mark = Mark(number=number, code=intent.code, outcome=DOUBT)
                    self.tell(name, mark)
                    said.append(mark_line(name, mark))
            self.end(number)
            said.append(end_line(number, "in_doubt"))
        return said

    def lines(self) -> list[bytes]:
        """The shortest journal that says the same."""
        found = [header_line(self.salt), last_line(self.last)]
        for name, mark in self.behind.items():
            found.append(mark_line(name, mark))
            if self._lacks[name] > mark.number:
                found.append(mark_line(name, attrs.evolve(mark, number=self._lacks[name])))
        for number, intent in self._open.items():
            found.append(intent_line(intent))
            told = self._had[number]
            found += [
                mark_line(name, Mark(number=number, code=intent.code, outcome=DONE))
                for name in intent.devices
                if name in told and name not in self.behind
            ]
        return found


def header_line(salt: bytes) -> bytes:
    return _line({"journal": _FORM, "salt": salt.hex()})


def last_line(number: int) -> bytes:
    return _line({"last": number})


def intent_line(intent: Intent) -> bytes:
    record: dict[str, Any] = {"write": intent.number, "at": round(intent.at, 3), "code": intent.code}
    if intent.slot is not None:
        record["slot"] = intent.slot
    return _line({**record, "hash": intent.digest, "devices": list(intent.devices)})


def mark_line(name: str, mark: Mark) -> bytes:
    return _line({"device": name, "write": mark.number, "code": mark.code, "outcome": mark.outcome})


def end_line(number: int, result: str) -> bytes:
    return _line({"end": number, "result": result})


def equal_line(name: str, last: int) -> bytes:
    """``last``: number of the last write that was known when it was shown."""
    return _line({"equal": name, "write": last})


def read(lines: Iterable[bytes], begun: list[Intent] | None = None) -> History | None:
    """What whole lines say; None where there is none. ``begun`` gets all intents. Raises `JournalDamaged`."""
    history: History | None = None
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            if history is None:
                if record["journal"] != _FORM:
                    raise ValueError("another form")
                history = History(bytes.fromhex(record["salt"]))
            else:
                intent = _take_in(history, record)
                if begun is not None and intent is not None:
                    begun.append(intent)
        except _WRONG as exc:
            raise JournalDamaged(f"line {number} is no record of a write journal") from exc
    return history


def read_on(history: History, lines: Iterable[bytes]) -> list[Intent]:
    """Take in what somebody else has appended; gives the writes that began. Raises `JournalDamaged`."""
    begun: list[Intent] = []
    for line in lines:
        try:
            intent = _take_in(history, json.loads(line))
        except _WRONG as exc:
            raise JournalDamaged("what another process has appended is no record of a write journal") from exc
        if intent is not None:
            begun.append(intent)
    return begun


def _take_in(history: History, record: dict[str, Any]) -> Intent | None:
    """Gives the intent, where it is one."""
    if "device" in record:
        mark = Mark(number=int(record["write"]), code=str(record["code"]), outcome=record["outcome"])
        if mark.outcome not in OUTCOMES:
            raise ValueError("no outcome")
        history.tell(str(record["device"]), mark)
    elif "equal" in record:
        last = record.get("write")
        history.equal(str(record["equal"]), None if last is None else int(last))
    elif "write" in record:
        slot = record.get("slot")
        intent = Intent(
            number=int(record["write"]),
            code=str(record["code"]),
            digest=str(record["hash"]),
            slot=None if slot is None else str(slot),
            devices=tuple(str(name) for name in record["devices"]),
            at=float(record["at"]),
        )
        history.begin(intent)
        return intent
    elif "end" in record:
        history.end(int(record["end"]))
    else:
        history.go_on_from(int(record["last"]))
    return None


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"
