"""Whether a chain of records is whole, and where it is not. Pure: names and lines come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from .chain import KIND, NOTHING, OPENED, TORN, NoRecord, Place, Record, begins_as, read, torn_detail


@attrs.frozen
class Fault:
    """Something that a writer of ours does not leave behind."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@attrs.define
class _Torn:
    file: str
    line: int
    rest: bytes


class Verification:
    """Give it each line of each file with `take`, in the order of the records, then call `end`.

    ``keys``: each record must be made with one of them, or all could be made anew by who has none; only those before
    ``keyed_from``, a number, may be without. ``since``: a hash that somebody wrote down; some record must have it.
    """

    def __init__(self, keys: Sequence[bytes] = (), since: str | None = None, keyed_from: int = 0) -> None:
        self.first: Record | None = None
        self.last: Record | None = None
        self.count = 0
        self.keyed = 0
        self.unproven = 0  # made with a key that was not given
        self.since: Place | None = None
        self.after_since = 0
        self.faults: list[Fault] = []
        self.notes: list[Fault] = []
        self._keys = keys
        self._keyed_from = keyed_from
        self._since = since
        self._made_with: int | None = None  # which of the keys
        self._torn: _Torn | None = None

    def take(self, file: str, number: int, line: bytes) -> Record | None:
        """``line`` with its newline, if it has one; gives the record that it is."""
        try:
            record = read(line.removesuffix(b"\n"), self._keys)
        except NoRecord as exc:
            self._no_record(file, number, line.removesuffix(b"\n"), str(exc))
            return None
        self._account_for_torn(record)
        for fault in self._faults(record):
            self.faults.append(Fault(file, number, fault))
        if self.first is None and record.place.number > 1:
            before = record.place.number - 1
            self.notes.append(Fault(file, number, f"goes on from record {before}, which is in none of these files"))
        if record.key is not None and record.key != self._made_with:
            if self._made_with is not None:
                self.notes.append(Fault(file, number, f"from record {record.place.number} on the key is another"))
            self._made_with = record.key
        self.first = self.first or record
        self.last = record
        self.count += 1
        self.keyed += record.keyed
        self.unproven += record.genuine is None
        self.after_since += self.since is not None
        if record.place.digest == self._since:
            self.since = record.place
        return record

    def end(self) -> None:
        """There are no more lines."""
        torn, self._torn = self._torn, None
        if torn is not None:
            text = f"the last line is unfinished ({len(torn.rest)} bytes): of a crash, of a write going on, or cut off"
            self.notes.append(Fault(torn.file, torn.line, text))

    def _faults(self, record: Record) -> Iterator[str]:
        place, last = record.place, self.last
        if record.genuine is False:
            key = ", or the key is another" if record.keyed else ""
            yield f"record {place.number} was changed: it does not have the hash that it says{key}"
        if self._keys and not record.keyed and place.number >= self._keyed_from:
            yield f"record {place.number} is made without a key: anybody can have made it"
        elif last is not None and last.keyed and not record.keyed:
            yield f"record {place.number} is made without a key, and those before it with one"
        if last is None:
            if place.number == 1 and record.before != NOTHING:
                yield "record 1 names a record before it, and is the first"
            return
        expected = last.place.number + 1
        if place.number > expected:
            missing = (
                f"record {expected} is"
                if place.number == expected + 1
                else f"records {expected} to {place.number - 1} are"
            )
            yield f"{missing} missing before record {place.number}"
        elif place.number < expected:
            yield f"record {place.number} comes after {last.place.number}: repeated, moved, or from another chain"
        elif record.before != last.place.digest:
            yield f"record {place.number} does not follow this record {last.place.number}: that one is another"

    def _no_record(self, file: str, number: int, rest: bytes, why: str) -> None:
        if rest and self._torn is not None and begins_as(rest, None):
            self._torn.rest += b"\n" + rest
        elif rest and begins_as(rest, None if self.last is None else self.last.place.number + 1):
            self._torn = _Torn(file, number, rest)
        else:
            self.faults.append(Fault(file, number, why))

    def _account_for_torn(self, record: Record) -> None:
        """An unfinished line is explained by the record that whoever went on has made of it."""
        torn = self._torn
        if torn is None:
            return
        fields = record.fields
        if fields["kind"] == KIND and fields["result"] == OPENED:
            return  # it comes first in a new file
        self._torn = None
        if fields["kind"] == KIND and fields["result"] == TORN and fields["detail"] == torn_detail(torn.rest):
            text = f"is unfinished ({len(torn.rest)} bytes): of a crash, as record {record.place.number} says"
            self.notes.append(Fault(torn.file, torn.line, text))
        else:
            self.faults.append(Fault(torn.file, torn.line, "is cut off, and no record after it says why"))


def in_order(firsts: Iterable[tuple[str, bytes]]) -> list[str]:
    """The names of files by the number of their first record; ``firsts``: name and first line."""

    def number(line: bytes) -> int:
        try:
            return read(line.removesuffix(b"\n")).place.number
        except NoRecord:
            return 0

    return [name for name, _ in sorted(firsts, key=lambda each: number(each[1]))]
