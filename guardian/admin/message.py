"""What travels on the admin port, as values: nothing here knows sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

import attrs


@attrs.frozen(kw_only=True)
class Request:
    """One HTTP request, wholly read. Header names are in lower case; of repeated headers the values are all kept."""

    method: str
    target: str  # as it came; never decoded nor normalised
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    secure: bool = False  # came over TLS
    local_host: str = "127.0.0.1"  # the address that the client connected to
    peer: str = ""  # the address it came from

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The value of a header; None if it is not there. Repeated ones are joined by a comma, as HTTP says."""
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None


@attrs.frozen(kw_only=True)
class Response:
    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = attrs.field(factory=dict)


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
