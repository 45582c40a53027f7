"""What travels on the admin port, as values: nothing here knows sockets."""

from __future__ import annotations

import enum
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

import attrs

from guardian.events import Actor
from guardian.functions import Identity


class Role(enum.IntEnum):
    """What somebody may do, and what a route asks for; each includes those before it."""

    OPEN = 0  # nothing that is anybody's secret
    VIEW = 1
    OPERATE = 2


ANYONE: Final = "anyone"  # whose connection says nothing of them
LOOPBACK: Final = "loopback"  # or no more than that they are on this machine
UNNAMED: Final = frozenset({ANYONE, LOOPBACK})
_NOBODY: Final = Actor(name=ANYONE, source="")


@attrs.frozen(kw_only=True, eq=False)
class Request:
    """One HTTP request, wholly read; the same object where a connection brings the same bytes again.

    Header names are in lower case; of repeated headers the values are all kept.
    """

    method: str
    target: str  # as it came; never decoded nor normalised
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    secure: bool = False  # came over TLS
    local_host: str = "127.0.0.1"  # the address that the client connected to
    actor: Actor = _NOBODY  # who asks; a handler that changes something passes it on
    role: Role = Role.OPEN  # what they may do, at most
    client: Identity | None = None  # whose certificate came with the connection
    user: Callable[[], int | None] | None = None  # finds out, in a thread, whose connection over loopback it is
    parts: Mapping[str, str] = attrs.field(factory=dict)  # the named parts of the route's path

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """What stands after the question mark, decoded; of a repeated name the last."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def header(self, name: str) -> str | None:
        """The value of a header; None if it is not there. Repeated ones are joined by a comma, as HTTP says."""
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None


@attrs.frozen(kw_only=True)
class Response:
    """``stream``: what follows the head instead of ``body``, chunk by chunk, for as long as both sides want.

    ``whole``: head and body as they are sent to who asked by GET on a connection that stays, where that was made
    beforehand.
    """

    status: int
    content_type: str
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    stream: AsyncGenerator[bytes, None] | None = None
    whole: bytes | None = attrs.field(default=None, repr=False)


def as_json(status: int, content: Mapping[str, object], **headers: str) -> Response:
    """A JSON answer. Underscores in the names of `headers` stand for hyphens."""
    return Response(
        status=status,
        content_type="application/json",
        body=json.dumps(content, indent=1).encode() + b"\n",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def refusal(status: int, why: str, **headers: str) -> Response:
    """`{"error": why}`, where `why` is for people."""
    return as_json(status, {"error": why, "status": HTTPStatus(status).phrase}, **headers)
