"""What a line of the audit file is, and how each holds on to the one before. Pure.

    {"n":2,"at":"...","kind":"will","who":"...",...,"prev":"<hash of record 1>","hash":"<64 hex digits>"}

`hash` is the SHA-256 of the line's bytes before `,"hash":`. Where there is a key it is called `hmac`, and is the
HMAC-SHA-256 of the bytes before `,"hmac":`. So nothing can be changed, put in, taken out or put elsewhere without
making all that follows anew, and with a key not even that. docs/audit.md says what this does not prove.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import attrs

from guardian.redaction import safe_text

if TYPE_CHECKING:
    from guardian.events import Event

NOTHING: Final = "0" * 64  # stands before the first record of all
KIND: Final = "audit"  # of records about the file itself
OPENED: Final = "opened"  # the first record of a file
TORN: Final = "torn"  # follows a line that a crash left unfinished
_SEALED: Final = re.compile(rb'(\{.+),"(hash|hmac)":"([0-9a-f]{64})"\}', re.DOTALL)
_FIELDS: Final = ("n", "at", "kind", "who", "source", "what", "result", "detail", "prev")


class NoRecord(ValueError):  # noqa: N818 (what it is, as the report says it)
    """A line is no record; the text says what is wrong with it."""


@attrs.frozen
class Place:
    """A record's place in the chain."""

    number: int
    digest: str


START: Final = Place(0, NOTHING)


@attrs.frozen(kw_only=True)
class Record:
    """One line of the file, read."""

    place: Place
    before: str  # the digest of the record before
    fields: Mapping[str, Any]
    keyed: bool
    genuine: bool | None  # it has the digest that it says; None: only who knows the key can tell
    key: int | None = None  # which of the keys that were given has made it


def fields_of(event: Event) -> dict[str, str]:
    """What an event is in a record. Text that looks like a message or a private key is withheld."""
    return {
        "at": moment(event.at),
        "kind": event.kind.value,
        "who": safe_text(event.who),
        "source": safe_text(event.source),
        "what": safe_text(event.what),
        "result": safe_text(event.result),
        "detail": safe_text(event.detail),
    }


def own_fields(at: float, result: str, detail: str, *, what: str = "file") -> dict[str, str]:
    """Of a record about the file itself. ``at``: Unix time."""
    return {
        "at": moment(at), "kind": KIND, "who": "guardian", "source": "", "what": what, "result": result,
        "detail": detail,
    }  # fmt: skip


def moment(unix: float) -> str:
    """UTC, to the microsecond."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def sealed(fields: Mapping[str, str], after: Place, key: bytes | None) -> tuple[bytes, Place]:
    """The line that follows ``after``, newline and all, and its place. ASCII: nothing in it can end a line."""
    number = after.number + 1
    body = json.dumps({"n": number, **fields, "prev": after.digest}, separators=(",", ":")).encode("ascii")[:-1]
    digest = _digest(body, key)
    name = b"hash" if key is None else b"hmac"
    return b'%b,"%b":"%b"}\n' % (body, name, digest.encode()), Place(number, digest)


def read(line: bytes, keys: Sequence[bytes] = ()) -> Record:
    """A line without its newline, made with any of the keys, or with none. Raises `NoRecord`."""
    found = _SEALED.fullmatch(line)
    if found is None:
        raise NoRecord("is no record")
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as exc:  # whoever may write a line may nest it as deep as he likes
        raise NoRecord("is no record: it is not JSON") from exc
    keyed = found[2] == b"hmac"
    if tuple(content)[: len(_FIELDS)] != _FIELDS or len(content) != len(_FIELDS) + 1:
        raise NoRecord("is no record: its fields are not those of one")
    texts = [content[name] for name in _FIELDS[1:]]
    if type(content["n"]) is not int or not all(isinstance(text, str) for text in texts):
        raise NoRecord("is no record: its fields are not those of one")
    digest = found[3].decode()
    made_with = next((at for at, key in enumerate(keys) if keyed and _is(digest, found[1], key)), None)
    genuine = made_with is not None if keyed and keys else None if keyed else _is(digest, found[1], None)
    return Record(
        place=Place(content["n"], digest),
        before=content["prev"],
        fields=content,
        keyed=keyed,
        genuine=genuine,
        key=made_with,
    )


def begins_as(rest: bytes, number: int | None) -> bool:
    """Whether an unfinished line could be the beginning of the record of that number, or of any."""
    head = b'{"n":' if number is None else b'{"n":%d,"at":"' % number
    return rest[: len(head)] == head[: len(rest)]


def torn_detail(rest: bytes) -> str:
    """What is said of an unfinished line, so that nobody can put another in its place."""
    return f"{len(rest)} bytes of an unfinished record, sha256 {hashlib.sha256(rest).hexdigest()}"


def _is(digest: str, body: bytes, key: bytes | None) -> bool:
    return hmac.compare_digest(_digest(body, key), digest)


def _digest(body: bytes, key: bytes | None) -> str:
    if key is None:
        return hashlib.sha256(body).hexdigest()
    return hmac.new(key, body, hashlib.sha256).hexdigest()
