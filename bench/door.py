"""Clients that come, ask once and go: the real listener from accept to close, and what of a handshake is ours.

OpenSSL is a stand-in, which asks for a second flight as it does, and shows a certificate: its own work would hide ours
and is never twice the same.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

from balancer.transport.peers import PeerPolicy
from balancer.transport.tls import ServerSide
from balancer.transport.trust import load_trust
from config import model
from config.model import Bind
from guardian.descriptors import Descriptors
from guardian.events import Events
from guardian.listener import Listener
from guardian.pki import make_pki
from guardian.sockets import OfferedSockets
from guardian.terms import Terms

from .rig import Rig

_FLIGHT = b"hello"
_FLIGHTS = 2  # of the client
_AT_ONCE = 16
_LONGEST = 65_536


class _Shown:
    """A certificate as Python's ssl gives it."""

    def __init__(self, der: bytes) -> None:
        self._der = der

    def public_bytes(self, encoding: int) -> bytes:
        return self._der


class _OpenSsl:
    """What Python has of OpenSSL for one connection."""

    def __init__(self, sock: socket.socket, chain: list[_Shown]) -> None:
        self.read, self.write = sock.recv, sock.send
        self._chain = chain
        self._flights = 0

    def do_handshake(self) -> None:
        self.read(len(_FLIGHT))
        self._flights += 1
        if self._flights < _FLIGHTS:
            raise ssl.SSLWantReadError

    def pending(self) -> int:
        return 0

    def get_verified_chain(self) -> list[_Shown]:
        return self._chain


class _Tls(socket.socket):
    """An SSLSocket."""

    def __init__(self, sock: socket.socket, chain: list[_Shown], der: bytes) -> None:
        super().__init__(sock.family, sock.type, sock.proto, sock.detach())
        self._sslobj = _OpenSsl(self, chain)
        self._der = der

    def getpeercert(self, *, binary_form: bool) -> bytes:
        return self._der


class _Context:
    def __init__(self, certificates: list[bytes]) -> None:
        self._certificates = certificates

    def wrap_socket(self, sock: socket.socket, **how: object) -> _Tls:
        return _Tls(sock, [_Shown(der) for der in self._certificates], self._certificates[0])


class Door:
    """A listener before the devices of a rig."""

    def __init__(self) -> None:
        self._rig = Rig(clients=0, pipeline=1, connections=8)
        with tempfile.TemporaryDirectory() as folder:
            pki = make_pki(Path(folder), algorithm="ecdsa", clients=("vault-1",))
            trust = load_trust((pki.ca,), ())
            shown = [
                ssl.PEM_cert_to_DER_cert(path.read_text()) for path in (pki.clients["vault-1"].certificate, pki.ca)
            ]
        context: Any = _Context(shown)
        terms = Terms(
            settings=model.Listener(name="excrypt", bind=Bind(host="127.0.0.1", port=0), group="devices"),
            tls=ServerSide(context=context, policy=PeerPolicy(trust)),
            rules=self._rig.rules,
            client=self._rig.client_settings,
        )
        self._descriptors = Descriptors(1024, lambda: 0)
        self._listener = Listener(terms, self._rig.group, self._rig.reactor, self._descriptors, Events())
        self._listener.bind(OfferedSockets())
        self._address = self._listener.socket.getsockname()

    def come(self, request: bytes, times: int) -> None:
        """So many clients, one after the other; each reads its answer, and leaves."""
        for _ in range(times):
            with socket.create_connection(self._address) as client:
                client.send(_FLIGHT)
                self._listener._accept(self._listener.socket, _AT_ONCE)
                self._rig.reactor.run_batch()
                client.send(_FLIGHT)
                self._rig.reactor.run_batch()
                client.send(request)
                while self._rig.turn():
                    pass
                if client.recv(_LONGEST) != request:
                    raise AssertionError("a client got something else than its answer")
            while self._rig.turn():
                pass

    def close(self) -> None:
        """Everybody is gone, and each was a client."""
        assert not self._listener.clients
        assert not self._descriptors.taken
        assert set(self._listener.snapshot().handshakes) == {"ok"}
        self._listener.unbind()
        self._rig.close()
