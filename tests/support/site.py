"""A CA, and what a listener and its clients show under it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import attrs
from cryptography.hazmat.primitives.serialization import Encoding

from balancer.transport.tls import ServerSide, server_side
from config.model import ListenerTls
from tests.support.tls import CLIENT, SERVER, Issued, client_context, crl, issue


@attrs.frozen
class Site:
    """A CA, and a listener and clients under it."""

    folder: Path
    root: Issued

    def issue(self, name: str = "vault-1", **how: object) -> Issued:
        return issue(self.root, name, **{"eku": [CLIENT], **how})  # type: ignore[arg-type]

    def ca(self, *others: Issued) -> tuple[Path, ...]:
        path = self.folder / "ca.crt"
        path.write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in (self.root, *others)))
        return (path,)

    def crl(self, *revoked: Issued, **how: object) -> tuple[Path, ...]:
        path = self.folder / "ca.crl"
        path.write_bytes(crl(self.root, revoked, **how))  # type: ignore[arg-type]
        return (path,)

    def server(self, *, kind: str = "p256", **settings: object) -> ServerSide:
        certificate, key = issue(self.root, "guardian", kind=kind, eku=[SERVER]).write(self.folder, "guardian")
        side = server_side(ListenerTls(**{"certificate": certificate, "key": key, "ca": self.ca(), **settings}))  # type: ignore[arg-type]
        assert side is not None
        return side

    def client(
        self,
        me: Issued | None = None,
        *,
        version: ssl.TLSVersion | None = None,
        change: Callable[[ssl.SSLContext], None] | None = None,
    ) -> ssl.SSLContext:
        return client_context(self.folder, self.root, me, version=version, change=change)
