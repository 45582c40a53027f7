"""Who may use the admin port: token, Host and Origin. Values in, a refusal or nothing out.

Loopback is no boundary for a browser: any page may send requests to 127.0.0.1, and by DNS rebinding even read the
answers. A page cannot choose Host or Origin, and cannot send a token that it does not know.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from .message import Request, Response, refusal

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_BEARER: Final = "bearer "


class Access:
    """The rules of one admin server.

    `token`: what each request but those for `/livez` and `/readyz` must bring; None if none is needed. `names`: the
    hosts by which the server may be called, beside the address that a connection came to.
    """

    def __init__(self, *, token: bytes | None, names: Collection[str]) -> None:
        self._token = token
        self._names = frozenset(name.lower() for name in names)

    def refuse_token(self, request: Request) -> Response | None:
        """401 unless the request brings the token, if there is one."""
        if self._token is None:
            return None
        given = request.header("authorization") or ""
        shown = given[len(_BEARER) :].strip() if given.lower().startswith(_BEARER) else ""
        if hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), self._token):
            return None
        return refusal(401, "a token is needed: Authorization: Bearer ...", WWW_Authenticate="Bearer")

    def refuse_change(self, request: Request) -> Response | None:
        """403 or 415 unless a request that changes something comes from a tool, or from a page of this server."""
        host = request.header("host") or ""
        if not self._ours(host, request):
            return refusal(403, f"this server is not called {_shown(host)}")
        origin = request.header("origin")
        if origin is not None and origin.lower() != f"{'https' if request.secure else 'http'}://{host.lower()}":
            return refusal(403, f"changes are not taken from {_shown(origin)}")
        if (request.header("sec-fetch-site") or "none") not in ("none", "same-origin"):
            return refusal(403, "changes are not taken from another site")
        kind = request.header("content-type")
        if (kind is not None or request.body) and (kind or "").partition(";")[0].strip().lower() != "application/json":
            return refusal(415, "send Content-Type: application/json, or no body and no Content-Type")
        return None

    def _ours(self, host: str, request: Request) -> bool:
        """Whether the Host header names this server.

        A server for other machines may have names in DNS that it does not know; there a token is proof enough, since
        no browser sends one by itself.
        """
        name = _host_name(host)
        if name is None:
            return False
        local = request.local_host.lower()
        if name in self._names or name == local or (is_loopback(local) and name in LOOPBACK_NAMES):
            return True
        return self._token is not None and not is_loopback(local)


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _host_name(host: str) -> str | None:
    """The name in a Host header, in lower case, without port and brackets; None if it is not one."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 (raises for a port that is none)
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host else None


def _shown(text: str) -> str:
    return ascii(text[:80])
