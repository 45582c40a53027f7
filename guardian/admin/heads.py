"""Answers as HTTP/1.1: their heads, and whole ones made beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import attrs
import h11

from .message import Response

_HARDENING: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ANY_REQUEST: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def head_of(response: Response, more: Mapping[str, str]) -> h11.Response:
    headers = {**_HARDENING, **response.headers, "Content-Type": response.content_type, **more}
    return h11.Response(
        status_code=response.status, reason=HTTPStatus(response.status).phrase, headers=list(headers.items())
    )


def made_whole(response: Response) -> Response:
    """The same with ``whole``: for answers that many get, who ask again and again on one connection."""
    http = h11.Connection(h11.SERVER)
    http.receive_data(_ANY_REQUEST)
    while not isinstance(http.next_event(), h11.EndOfMessage):
        pass
    events = (
        head_of(response, {"Content-Length": str(len(response.body))}),
        h11.Data(data=response.body),
        h11.EndOfMessage(),
    )
    return attrs.evolve(response, whole=b"".join(http.send(event) or b"" for event in events))
