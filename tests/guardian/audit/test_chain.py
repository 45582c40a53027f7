"""A line holds on to the one before, and is one line whatever stands in it."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.audit.chain import NOTHING, START, NoRecord, fields_of, read, sealed
from guardian.events import Actor, Event, Events, Kind

KEY = b"a key that nobody else knows"


def event(**changes: str) -> Event:
    facts = {"who": "vault-1", "source": "192.0.2.7", "what": "payments/GPKD", "result": "blocked", "detail": ""}
    facts |= changes
    by = Actor(name=facts["who"], source=facts["source"])
    return Events(lambda: 1_790_000_000.25).tell(
        Kind.BLOCKED, facts["what"], facts["result"], by=by, detail=facts["detail"]
    )


def test_a_record_says_who_what_when_from_where_and_the_result() -> None:
    line, place = sealed(fields_of(event()), START, None)
    assert json.loads(line) == {
        "n": 1,
        "at": "2026-09-21T14:13:20.250000Z",
        "kind": "blocked",
        "who": "vault-1",
        "source": "192.0.2.7",
        "what": "payments/GPKD",
        "result": "blocked",
        "detail": "",
        "prev": NOTHING,
        "hash": place.digest,
    }


@pytest.mark.parametrize(("key", "name"), [(None, b"hash"), (KEY, b"hmac")])
def test_its_digest_is_that_of_the_bytes_before_it(key: bytes | None, name: bytes) -> None:
    line, first = sealed(fields_of(event()), START, key)
    body, _, rest = line.partition(b',"%b":"' % name)
    expected = hashlib.sha256(body) if key is None else hmac.new(key, body, hashlib.sha256)
    assert rest == expected.hexdigest().encode() + b'"}\n'
    second, place = sealed(fields_of(event()), first, key)
    assert json.loads(second)["prev"] == first.digest
    assert place.number == 2


@given(text=st.text())
def test_whatever_a_name_holds_it_stays_one_line_and_comes_back(text: str) -> None:
    for key in (None, KEY):
        line, place = sealed(fields_of(event(who=text[:400])), START, key)
        assert line.endswith(b"\n")
        assert line.isascii()
        assert all(0x20 <= byte < 0x7F for byte in line[:-1])
        record = read(line[:-1], () if key is None else (key,))
        assert record.genuine
        assert record.place == place
        if "[AO" not in text and "-----BEGIN" not in text:
            assert record.fields["who"] == text[:400]


def test_what_looks_like_a_message_is_withheld() -> None:
    line, _ = sealed(fields_of(event(detail="it sent [AORKLG;DAme;CHsecret;]")), START, None)
    assert b"secret" not in line


@given(data=st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject) -> None:
    line, _ = sealed(fields_of(event()), START, None)
    at = data.draw(st.integers(0, len(line) - 2))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[at]))
    changed = line[:at] + bytes([other]) + line[at + 1 : -1]
    with contextlib.suppress(NoRecord):
        assert read(changed).genuine is not True


def test_only_who_knows_the_key_can_tell() -> None:
    line, _ = sealed(fields_of(event()), START, KEY)
    assert read(line[:-1]).genuine is None
    assert read(line[:-1], [b"another key, not the right one"]).genuine is False


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b'{"n":1,"hash":"' + b"0" * 64 + b'"}',
        b'{"n":"1","at":"","kind":"","who":"","source":"","what":"","result":"","detail":"","prev":"","hash":"'
        + b"0" * 64
        + b'"}',
        b"\xff" * 200,
    ],
)
def test_what_is_no_record_is_told(line: bytes) -> None:
    with pytest.raises(NoRecord):
        read(line)
