"""The port that operators and Prometheus use."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import attrs
from msgspec import Meta

from .functions import Match
from .tls import AdminTls
from .values import Bind, Name, Seconds, UnixBind


class AdminRole(enum.Enum):
    VIEW = "view"  # everything can be read
    OPERATE = "operate"  # and changed


@attrs.frozen(kw_only=True)
class AdminToken:
    name: Name
    """whose it is: who did something, in the log, the events and the audit"""
    role: AdminRole
    """`view` reads, `operate` changes as well"""
    file: Path
    """a file with the token; read again on reload"""


@attrs.frozen(kw_only=True)
class AdminClient:
    match: Match
    """which certificates are meant"""
    role: AdminRole
    """`view` reads, `operate` changes as well"""


@attrs.frozen(kw_only=True)
class Admin:
    bind: Bind | UnixBind = Bind(host="127.0.0.1", port=9190)
    """the address, or a socket in the file system; a change needs a restart"""
    mode: Annotated[
        str, Meta(pattern=r"^0?[0-7]{3}$", description="a file mode of three octal digits, such as 0660")
    ] = "0600"
    """of the socket `unix:`: whoever may write to the file may operate"""
    token_file: Path | None = None
    """a file with a token that may operate; like `tokens` with the name `operator`"""
    tokens: tuple[AdminToken, ...] = ()
    """given, or `token_file`: every request must carry one, but for `/livez`, `/readyz` and the page itself"""
    clients: tuple[AdminClient, ...] = ()
    """what a client may do by its certificate, the first match counts, no match refuses; by default every certificate
    of `tls.ca` may operate"""
    tls: AdminTls | None = None
    """HTTPS"""
    buckets: tuple[Seconds, ...] = (
        0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    )  # fmt: skip
    """the bounds of all duration histograms, rising, 50 at most; the alerts name `250ms`; a change needs a restart"""
