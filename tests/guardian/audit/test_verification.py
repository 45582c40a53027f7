"""What was changed, taken out, put in, moved or cut off is found, and said where; what a crash leaves is told apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.audit.chain import START, own_fields, sealed
from guardian.audit.verification import Verification, in_order

KEY = b"a key that nobody else knows"


def chain(count: int, key: bytes | None = None) -> list[bytes]:
    lines, place = [], START
    for number in range(count):
        line, place = sealed(own_fields(1_790_000_000.0 + number, f"r{number + 1}", ""), place, key)
        lines.append(line)
    return lines


def verify(lines: list[bytes], *keys: bytes, since: str | None = None, keyed_from: int = 0) -> Verification:
    verification = Verification(keys, since, keyed_from)
    for number, line in enumerate(lines, start=1):
        verification.take("audit.log", number, line)
    verification.end()
    return verification


def faults(lines: list[bytes], *keys: bytes, keyed_from: int = 0) -> list[str]:
    return [str(fault) for fault in verify(lines, *keys, keyed_from=keyed_from).faults]


def test_a_whole_chain() -> None:
    done = verify(chain(10))
    assert not done.faults
    assert not done.notes
    assert done.count == 10
    assert done.first is not None
    assert done.last is not None
    assert (done.first.place.number, done.last.place.number) == (1, 10)


def test_a_record_that_was_changed() -> None:
    lines = chain(5)
    lines[2] = lines[2].replace(b"r3", b"xx")
    assert faults(lines) == ["audit.log:3: record 3 was changed: it does not have the hash that it says"]


def test_a_record_that_was_changed_and_sealed_anew() -> None:
    lines = chain(5)
    first = json.loads(lines[1])["hash"]
    lines[2] = sealed(own_fields(0.0, "xx", ""), type(START)(2, first), None)[0]
    assert faults(lines) == ["audit.log:4: record 4 does not follow this record 3: that one is another"]


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ([2], "audit.log:3: record 3 is missing before record 4"),
        ([1, 2, 3], "audit.log:2: records 2 to 4 are missing before record 5"),
    ],
)
def test_records_that_were_taken_out(gone: list[int], said: str) -> None:
    lines = [line for place, line in enumerate(chain(6)) if place not in gone]
    assert faults(lines) == [said]


def test_records_that_were_moved_or_repeated() -> None:
    lines = chain(5)
    lines[1], lines[2] = lines[2], lines[1]
    assert len(faults(lines)) == 3
    lines = chain(3)
    assert faults([*lines, lines[1]]) == ["audit.log:4: record 2 comes after 3: repeated, moved, or from another chain"]


@pytest.mark.parametrize("junk", [b"\n", b"hello\n", b"{}\n", b'{"n":99,"at":"x\n'])
def test_lines_that_were_put_in(junk: bytes) -> None:
    lines = chain(4)
    assert len(faults([*lines[:2], junk, *lines[2:]])) == 1


def test_a_beginning_that_is_elsewhere_is_no_fault() -> None:
    done = verify(chain(6)[3:])
    assert not done.faults
    assert [str(note) for note in done.notes] == ["audit.log:1: goes on from record 3, which is in none of these files"]


def test_a_first_record_that_names_another() -> None:
    line, _ = sealed(own_fields(0.0, "x", ""), type(START)(0, "f" * 64), None)
    assert len(faults([line])) == 1


def test_an_unfinished_last_line_is_told_apart() -> None:
    lines = chain(4)
    done = verify([*lines[:3], lines[3][:40]])
    assert not done.faults
    assert "the last line is unfinished (40 bytes)" in str(done.notes[0])
    assert faults([*lines[:3], lines[3][10:40]]) == ["audit.log:4: is no record"]


def test_an_unfinished_line_that_nobody_explains_is_a_fault() -> None:
    lines = chain(4)
    line, _ = sealed(own_fields(0.0, "x", ""), type(START)(3, json.loads(lines[2])["hash"]), None)
    assert faults([*lines[:3], lines[3][:40] + b"\n", line]) == [
        "audit.log:4: is cut off, and no record after it says why"
    ]


def test_a_hash_that_was_written_down_must_be_there() -> None:
    lines = chain(5)
    done = verify(lines, since=json.loads(lines[2])["hash"])
    assert done.since is not None
    assert (done.since.number, done.after_since) == (3, 2)
    assert verify(lines, since="0" * 63 + "1").since is None


def test_a_chain_with_a_key_cannot_be_made_anew_without_it() -> None:
    lines = chain(5, KEY)
    assert not faults(lines, KEY)
    assert verify(lines).unproven == 5
    forged = chain(5, b"a key that is not the right one")
    assert len(faults(forged, KEY)) == 5
    bare, _ = sealed(own_fields(0.0, "x", ""), type(START)(3, json.loads(lines[2])["hmac"]), None)
    assert faults([*lines[:3], bare], KEY) == ["audit.log:4: record 4 is made without a key: anybody can have made it"]
    assert faults([*lines[:3], bare]) == ["audit.log:4: record 4 is made without a key, and those before it with one"]


def test_a_chain_made_anew_without_any_key_is_no_chain_of_that_key() -> None:
    assert len(faults(chain(5), KEY)) == 5
    assert len(faults(chain(5), KEY, keyed_from=4)) == 2
    assert len(faults(chain(5, KEY), b"a key that is not the right one", keyed_from=9)) == 5


def test_a_key_may_come_later_where_its_auditor_says_from_where_on() -> None:
    lines = chain(2)
    later, _ = sealed(own_fields(0.0, "x", ""), type(START)(2, json.loads(lines[1])["hash"]), KEY)
    assert not faults([*lines, later], KEY, keyed_from=3)
    assert len(faults([*lines, later], KEY)) == 2
    assert len(faults([*lines, later], KEY, keyed_from=2)) == 1


def test_a_key_may_be_changed() -> None:
    lines, other = chain(3, KEY), b"the key after it, as secret"
    later, _ = sealed(own_fields(0.0, "x", ""), type(START)(3, json.loads(lines[2])["hmac"]), other)
    done = verify([*lines, later], other, KEY)
    assert not done.faults
    assert [str(note) for note in done.notes] == ["audit.log:4: from record 4 on the key is another"]
    assert len(faults([*lines, later], KEY)) == 1
    assert len(faults([*lines, later], other)) == 3


def test_a_line_that_is_nested_too_deep_is_no_record() -> None:
    bomb = b'{"n":' + b"[" * 20_000 + b"]" * 20_000 + b',"hash":"' + b"0" * 64 + b'"}\n'
    assert faults([*chain(2), bomb]) == ["audit.log:3: is no record: it is not JSON"]


@given(data=st.data())
def test_no_change_but_at_the_end_goes_unseen(data: st.DataObject) -> None:
    """Any bytes put in, left out or changed before the last record."""
    lines = chain(6)
    whole = b"".join(lines)
    at = data.draw(st.integers(0, len(whole) - len(lines[-1]) - 1))
    length = data.draw(st.integers(0, 20))
    put = data.draw(st.binary(max_size=20))
    changed = whole[:at] + put + whole[at + length :]
    done = verify([line + b"\n" for line in changed.removesuffix(b"\n").split(b"\n")])
    assert changed == whole or done.faults or done.notes


def test_files_are_put_in_order() -> None:
    lines = chain(9)
    assert in_order([("b", lines[5]), ("c", b"junk"), ("a", lines[0])]) == ["c", "a", "b"]
