"""One row of the table of routes: what is asked for, who may, and who answers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import attrs
from trio_websocket import WebSocketConnection

from .message import Request, Response, Role

Schema = Mapping[str, Any]  # JSON Schema 2020-12, as OpenAPI 3.1 has it
Handler = Callable[[Request], Awaitable[Response]]
Talk = Callable[[Request, WebSocketConnection], Awaitable[None]]

# A path is compared as it came: nothing is decoded or normalised, so there is nothing to trick with `..` or `%2e`.
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
_PART: Final = re.compile(r"\{([a-z_]+)(?::([a-z|]+))?\}")
_CHANGES: Final = frozenset({"POST"})
_READS: Final = frozenset({"GET"})


@attrs.frozen(kw_only=True)
class Route:
    """``path``: parts in braces are names, ``{device}``, or one of some words, ``{will:ready|drain}``.

    One of ``handler`` and ``talk`` answers: the latter makes it a WebSocket. Raises ValueError for a row that cannot be
    meant.
    """

    method: str  # GET, which HEAD may ask for too, or POST, which is for changes alone
    path: str
    role: Role
    summary: str  # one line, for the OpenAPI document
    handler: Handler | None = None
    talk: Talk | None = None
    probe: bool = False  # may also be called by an address that is not ours: behind a balancer, without a Host
    query: Mapping[str, Schema] = attrs.field(factory=dict)  # what may stand in the query
    takes: Schema | None = None  # the body of a POST; None: there is none, or {}
    gives: Schema | None = None  # the answer, where it is JSON
    content_type: str = "application/json"  # of the answer
    refuses: Mapping[int, str] = attrs.field(factory=dict)  # beyond what every route may answer: status, and when

    def __attrs_post_init__(self) -> None:
        if (self.handler is None) == (self.talk is None):
            raise ValueError(f"{self.path}: give a handler, or what talks over its WebSocket")
        if self.method not in _READS | _CHANGES or (self.method in _CHANGES and self.role is not Role.OPERATE):
            raise ValueError(f"{self.path}: what changes something is a POST, and for those who operate")
        if self.talk is not None and self.method not in _READS:
            raise ValueError(f"{self.path}: a WebSocket begins as a GET")

    @property
    def named_parts(self) -> dict[str, tuple[str, ...]]:
        """The names in the path, and the words that each may be; none where it is a name."""
        return {match[1]: tuple(match[2].split("|")) if match[2] else () for match in _PART.finditer(self.path)}

    @property
    def plain_path(self) -> str:
        """The path with nothing but names in its braces, as OpenAPI writes it."""
        return _PART.sub(r"{\1}", self.path)


class Table:
    """All routes. Raises ValueError where two would answer the same."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes: Final = tuple(routes)
        self._literal: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        seen: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            methods = seen.setdefault(route.plain_path, {})
            if route.method in methods:
                raise ValueError(f"{route.method} {route.path} is there twice")
            if not methods and route.named_parts:
                self._patterns.append((_pattern(route.path), methods))
            elif not methods:
                self._literal[route.path] = methods
            methods[route.method] = route

    def find(self, path: str) -> tuple[Mapping[str, Route], dict[str, str]]:
        """The routes of a path, by method, and the named parts; no routes if there is nothing."""
        methods = self._literal.get(path)
        if methods is not None:
            return methods, {}
        for pattern, at in self._patterns:
            match = pattern.fullmatch(path)
            if match is not None:
                return at, match.groupdict()
        return {}, {}


def _pattern(path: str) -> re.Pattern[str]:
    made, end = "", 0
    for match in _PART.finditer(path):
        made += re.escape(path[end : match.start()]) + f"(?P<{match[1]}>{match[2] or _NAME})"
        end = match.end()
    return re.compile(made + re.escape(path[end:]))
