"""What was learned, as plain data for JSON and the command line. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from .learning import ClientSeen, CodeSeen, Learning, LoginSeen, PipelineSeen
from .proposals import as_facts, as_yaml, propose

_PREFIX: Final = 16  # hex digits of a fingerprint that tell clients apart for people


Listed = Callable[
    [Iterator[Any]], object
]  # what becomes of the long lists: `list`, or `iter` for who writes as it comes


def report(group: str, learning: Learning, listed: Listed = list) -> Mapping[str, object]:
    """One group's part of the report."""
    proposals = propose(learning)
    return {
        "requests": learning.requests,
        "dropped": dict(learning.room.dropped),
        "clients": listed(_client(client, listed) for client in learning.clients.values()),
        "unknown": sorted({
            code.code for client in learning.clients.values() for code in client.codes.values() if not code.known
        }),
        "logins": [_login(login) for login in learning.logins.values()],
        "pipeline": _pipeline(learning.pipeline),
        "proposals": as_facts(proposals),
        "yaml": as_yaml(group, proposals),
    }  # fmt: skip


def _client(client: ClientSeen, listed: Listed) -> Mapping[str, object]:
    who = client.who
    codes = sorted(client.codes.values(), key=lambda code: (-code.requests, code.code))
    return {
        "name": name_of(who.common_name, who.fingerprint, who.address),
        "common_name": who.common_name,
        "fingerprint": who.fingerprint,
        "address": who.address,
        "connections": client.connections,
        "from_start": client.from_start,
        "malformed": client.malformed,
        "codes": listed(_code(code, client) for code in codes),
    }


def name_of(common_name: str | None, fingerprint: str | None, address: str | None) -> str:
    """A client for people: by its certificate, or by its address where it shows none."""
    if fingerprint is None:
        return address or "unknown"
    prefix = fingerprint.removeprefix("sha256:")[:_PREFIX]
    return f"{common_name} ({prefix})" if common_name else prefix


def _code(code: CodeSeen, client: ClientSeen) -> Mapping[str, object]:
    following = {
        other.code: other.previous[code.code] for other in client.codes.values() if code.code in other.previous
    }
    return {
        "code": code.code,
        "known": code.known,
        "effect": code.effect,
        "requests": code.requests,
        "outcomes": dict(code.outcomes),
        "first": code.first,
        "positions": dict(code.positions),
        "before": following,  # it came directly before these
        "after": dict(code.previous),
        "request_tags": {tag: dict(kinds) for tag, kinds in code.request_tags.items()},
        "answer_tags": {tag: dict(kinds) for tag, kinds in code.answer_tags.items()},
        "context": {"asked": code.context_asked, "repeated": code.context_repeated},
        "errors": {"numbers": dict(code.error_numbers), "tags": dict(code.error_tags)},
    }


def _login(login: LoginSeen) -> Mapping[str, object]:
    return {
        "code": login.code,
        "known": login.known,
        "answered": login.answered,
        "first": login.first,
        "first_two": login.repeated,
        "unlocked": dict(login.unlocked),
        "statuses": [
            {
                "tag": tag.decode("ascii"),
                "letter": letter.decode("ascii"),
                "seen": seen,
                "next_ok": login.after_ok.get((tag, letter), 0),
                "next_error": login.after_error.get((tag, letter), 0),
                "unlocked": login.unlocking.get((tag, letter), 0),
            }
            for (tag, letter), seen in login.statuses.items()
        ],
    }


def _pipeline(seen: PipelineSeen) -> Mapping[str, object]:
    return {
        "allowed": seen.allowed,
        "looks": seen.looks,
        "several": seen.several,
        "most": seen.most,
        "misfits": seen.misfits,
    }
