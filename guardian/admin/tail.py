"""`/tail`: completions as they happen, a line of JSON each, for as long as somebody reads."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Final

import msgspec
import trio

from balancer.snapshot import Outcome
from config.units import parse_duration
from guardian.operable import Operable
from guardian.shown import time_text
from guardian.tailing import Wanted, as_fields

from .message import Request, Response, Role, refusal
from .route import Route, Schema

_MOST: Final = 200  # lines of one chunk: what is encoded while nobody else can run
_PAUSE: Final = 0.05  # seconds between two chunks
_ALIVE: Final = 5.0  # seconds after which an empty line says that there was nothing
_OUTCOMES: Final = tuple(outcome.value for outcome in Outcome)
_TEXT: Final[Schema] = {"type": "string"}
_LIST: Final[Schema] = {"type": "string", "description": "one or several, with commas between them"}


class TailRoute:
    def __init__(self, proxy: Operable) -> None:
        self._proxy = proxy

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/tail",
                role=Role.VIEW,
                summary="Completions as they happen, one line of JSON each; empty lines say that it is alive",
                handler=self.tail,
                content_type="application/x-ndjson",
                query={
                    "command": _LIST,
                    "outcome": _LIST,
                    "device": _LIST,
                    "group": _TEXT,
                    "client": _TEXT,
                    "slower": {"type": "string", "description": "a duration such as 50ms"},
                },
                refuses={400: "no such outcome or duration", 404: "no such group"},
            )
        ]

    async def tail(self, request: Request) -> Response:
        try:
            wanted = _wanted(request.query)
        except ValueError as exc:
            return refusal(400, str(exc))
        if wanted.group is not None and all(group.name != wanted.group for group in self._proxy.config.groups):
            return refusal(404, f"there is no group {wanted.group[:80]!a}")
        return Response(status=200, content_type="application/x-ndjson", stream=self._lines(wanted))

    async def _lines(self, wanted: Wanted) -> AsyncGenerator[bytes, None]:
        woken = trio.Event()

        def wake() -> None:
            woken.set()

        tail = self._proxy.completions.tail(wanted, wake)
        try:
            yield b"\n"  # it has begun
            while True:
                with trio.move_on_after(_ALIVE) as waited:
                    await woken.wait()
                if waited.cancelled_caught:
                    yield b"\n"
                    continue
                woken = trio.Event()
                lines, lost = tail.take(_MOST)
                if len(lines) == _MOST:
                    woken.set()  # there may be more
                chunk = b"".join(
                    msgspec.json.encode({"time": time_text(line.at), **as_fields(line)}) + b"\n" for line in lines
                )
                if lost:
                    chunk += json.dumps({"lost": lost}).encode() + b"\n"
                yield chunk
                await trio.sleep(0 if len(lines) == _MOST else _PAUSE)
        finally:
            tail.end()


def _wanted(query: Mapping[str, str]) -> Wanted:
    """Raises ValueError, for people."""
    outcomes = _several(query, "outcome")
    unknown = sorted(outcomes - set(_OUTCOMES))
    if unknown:
        raise ValueError(f"there is no outcome {unknown[0][:40]!a}; there are {', '.join(_OUTCOMES)}")
    return Wanted(
        group=query.get("group"),
        commands=frozenset(code.encode("ascii", "replace") for code in _several(query, "command")),
        outcomes=outcomes,
        devices=_several(query, "device"),
        client=query.get("client"),
        slower=parse_duration(query["slower"]) if "slower" in query else 0.0,
    )


def _several(query: Mapping[str, str], name: str) -> frozenset[str]:
    return frozenset(each.strip() for each in query.get(name, "").split(",") if each.strip())
