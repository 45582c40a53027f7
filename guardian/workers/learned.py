"""What several workers have learned of the same traffic, as one. Pure.

All that is learned is counts, and those of one connection are in one worker: their sums are what one process would
have learned.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import attrs

from guardian.learning import ClientSeen, CodeSeen, Learning, LoginSeen, PipelineSeen, Room

_HIGHEST: Final = frozenset({"allowed", "most"})  # of a pipeline


@attrs.frozen(kw_only=True)
class Learned:
    """What one worker has learned of a group."""

    group: str
    requests: int
    dropped: dict[str, int]
    clients: list[ClientSeen]
    logins: list[LoginSeen]
    pipeline: PipelineSeen


def learned(group: str, learning: Learning) -> Learned:
    return Learned(
        group=group,
        requests=learning.requests,
        dropped=learning.room.dropped,
        clients=list(learning.clients.values()),
        logins=list(learning.logins.values()),
        pipeline=learning.pipeline,
    )


def gathered(parts: Iterable[Learned]) -> dict[str, Learning]:
    """By group. The parts are used up."""
    found: dict[str, Learning] = {}
    for part in parts:
        whole = found.get(part.group)
        if whole is None:
            whole = found[part.group] = Learning(Room(0))
        whole.requests += part.requests
        _add(whole.room.dropped, part.dropped)
        for client in part.clients:
            _add(whole.clients, {client.who: client})
        for login in part.logins:
            _add(whole.logins, {login.code.encode("ascii"): login})
        whole.pipeline = _sum(whole.pipeline, part.pipeline)
    return found


def _add(table: dict[Any, Any], other: dict[Any, Any]) -> None:
    for key, value in other.items():
        table[key] = _sum(table[key], value) if key in table else value


def _sum(one: Any, other: Any) -> Any:
    """Of counts, tables of them, and records of these; what is no count is the same in both."""
    if isinstance(one, bool) or not isinstance(one, int | dict | ClientSeen | LoginSeen | PipelineSeen | CodeSeen):
        return one
    if isinstance(one, int):
        return one + other
    if isinstance(one, dict):
        _add(one, other)
        return one
    for field in attrs.fields(type(one)):
        mine, others = getattr(one, field.name), getattr(other, field.name)
        setattr(one, field.name, max(mine, others) if field.name in _HIGHEST else _sum(mine, others))
    return one
