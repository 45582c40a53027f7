"""Who may use the admin port: Host, Origin and token. Values in, a refusal or a request with its role out.

Loopback is no boundary for a browser: any page may send requests to 127.0.0.1, and by DNS rebinding even read the
answers. A page cannot choose Host or Origin, and cannot send a token that it does not know.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
from collections.abc import Collection, Sequence
from typing import Final
from urllib.parse import urlsplit

import attrs

from config.model import Match
from guardian.events import Actor
from guardian.functions import matches

from .message import UNNAMED, Request, Response, Role, refusal

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
SUBPROTOCOL: Final = "guardian"  # of every WebSocket here
BEARER_SUBPROTOCOL: Final = "guardian.bearer."  # and the token in base64url, without padding: no page can set a header
_BEARER: Final = "bearer "


@attrs.frozen(kw_only=True)
class Token:
    name: str  # whose it is, for the log and the audit
    role: Role
    secret: bytes = attrs.field(repr=False)


class Access:
    """The rules of one admin server.

    `tokens`: with any, each request but those for open routes must bring one. `names`: the hosts by which the server
    may be called, beside the address that a connection came to. `clients`: what a certificate may do, the first match
    counts; without any, each may do everything.
    """

    def __init__(
        self, *, tokens: Sequence[Token], names: Collection[str], clients: Sequence[tuple[Match, Role]] = ()
    ) -> None:
        self._tokens = tuple(tokens)
        self._clients = tuple(clients)
        self._names = frozenset(name.lower() for name in names)

    def recognise(self, request: Request) -> Request:
        """The request with who asks and what they may do: what its connection says, narrowed by its token."""
        if self._clients and request.client is not None:
            client = request.client
            by_certificate = next((role for match, role in self._clients if matches(match, client)), Role.OPEN)
            request = attrs.evolve(request, role=Role(min(by_certificate, request.role)))
        if not self._tokens:
            return request
        found = self._token(request)
        if found is None:
            return attrs.evolve(request, role=Role.OPEN)
        known = request.actor
        name = found.name if known.name in UNNAMED else f"{found.name} ({known.name})"
        return attrs.evolve(
            request, actor=Actor(name=name, source=known.source), role=Role(min(found.role, request.role))
        )

    def needs_token(self, request: Request) -> bool:
        """Whether it came without one that is known, and one is asked for."""
        return bool(self._tokens) and self._token(request) is None

    def _token(self, request: Request) -> Token | None:
        """Compares with each, in a time that says nothing of how much is right."""
        shown = _shown_token(request)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(shown, token.secret):
                found = token
        return found

    def refuse_host(self, request: Request, *, probe: bool) -> Response | None:
        """403 unless Host names this server.

        A probe may also give no Host (HTTP/1.0) or any address, as balancers do: a browser that was tricked into
        coming here sends a name.
        """
        host = request.header("host") or ""
        if self._ours(host, request) or (probe and (not host or _is_address(_host_name(host)))):
            return None
        return refusal(403, f"this server is not called {_shown(host)}")

    def refuse_origin(self, request: Request) -> Response | None:
        """403 unless a request comes from a tool, from a page of this server, or from a link that somebody followed."""
        host = request.header("host") or ""
        origin = request.header("origin")
        if origin is not None and origin.lower() != f"{'https' if request.secure else 'http'}://{host.lower()}":
            return refusal(403, f"requests are not taken from {_shown(origin)}")
        followed = (request.method, request.header("sec-fetch-mode"), request.header("sec-fetch-dest")) == (
            "GET", "navigate", "document",
        )  # fmt: skip
        if (request.header("sec-fetch-site") or "none") not in ("none", "same-origin") and not followed:
            return refusal(403, "requests are not taken from another site")
        return None

    def refuse_kind(self, request: Request) -> Response | None:
        """415 for what a form can send without asking."""
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
        return bool(self._tokens) and not is_loopback(local)


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_address(name: str | None) -> bool:
    try:
        return name is not None and bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _shown_token(request: Request) -> bytes:
    """What was brought as a token; empty if nothing was, and no token is empty."""
    given = request.header("authorization")
    if given is not None:
        text = given[len(_BEARER) :].strip() if given.lower().startswith(_BEARER) else ""
        return text.encode("utf-8", "surrogateescape")
    for offered in (request.header("sec-websocket-protocol") or "").split(","):
        name = offered.strip()
        if name.startswith(BEARER_SUBPROTOCOL):
            coded = name[len(BEARER_SUBPROTOCOL) :]
            try:
                return base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4))
            except ValueError:
                return b""
    return b""


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
