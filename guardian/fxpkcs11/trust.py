"""The TLS context of a client's own key, certificate and CAs."""

from __future__ import annotations

import ssl
from pathlib import Path

from balancer.transport.tls import client_context
from balancer.transport.trust import load_trust
from config.credentials import CredentialError

from .token import Token


class NotTriedError(Exception):
    """A connection would show nothing. The text says why, for people."""


def context_of(token: Token) -> ssl.SSLContext | None:
    """None where the token speaks no TLS. Raises `NotTriedError`."""
    if not token.tls:
        return None
    if token.unread:
        raise NotTriedError("a file of its TLS cannot be used")
    if not token.anonymous and token.shown is None:
        raise NotTriedError("PROD-TLS-CERT and PROD-TLS-KEY are missing")
    try:
        paths = [Path(setting.value) for setting, _ in token.authorities]
        trust = load_trust(paths, ()) if paths else None
        return client_context(token.shown, Path(token.file), trust)
    except CredentialError as exc:
        raise NotTriedError(str(exc)) from exc
