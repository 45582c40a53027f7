"""TLS of the admin port: as a listener's, so that dates and clientAuth are checked here too."""

from __future__ import annotations

import time

import trio
from cryptography import x509

from balancer.transport.peers import Peer, PeerRefused
from balancer.transport.tls import ServerSide, server_side
from config.credentials import load_credentials
from config.model import AdminTls, ListenerTls, TlsMode


class AdminSide:
    """What the admin port needs for TLS, from one reading of its files.

    `names` are the names and addresses that the certificate is for: by these a browser may call this server.
    """

    def __init__(self, tls: AdminTls) -> None:
        """Raises CredentialError when a file cannot be read or used."""
        mode = TlsMode.MUTUAL if tls.ca else TlsMode.SERVER
        side = server_side(
            ListenerTls(
                mode=mode,
                certificate=tls.certificate,
                key=tls.key,
                key_password_file=tls.key_password_file,
                ca=tls.ca,
                crl=tls.crl,
            )
        )
        assert side is not None, "only a clear listener has none"
        self._side: ServerSide = side
        self.names = _names(load_credentials(tls.certificate, tls.key, tls.key_password_file).certificate)

    def passes(self, client: Peer, now: float) -> bool:
        """Whether a client of an earlier handshake, perhaps by other files, would be let in at `now` (Unix time)."""
        try:
            if self._side.policy is not None:
                self._side.policy.recheck(client, now)
        except PeerRefused:
            return False
        return True

    async def handshake(self, plain: trio.SocketStream) -> tuple[trio.SSLStream[trio.SocketStream], Peer | None]:
        """The stream, and who the client is if it had to show a certificate.

        Raises trio.BrokenResourceError when it fails, PeerRefused when the client's certificate does not pass.
        """
        stream = trio.SSLStream(plain, self._side.context, server_side=True, https_compatible=True)
        await stream.do_handshake()
        # Of this the chain is read too, which says for which CA a client was believed: a reload asks again.
        return stream, self._side.check(stream._ssl_object, time.time())


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = names.get_values_for_type(x509.IPAddress)
    return [*names.get_values_for_type(x509.DNSName), *(str(address) for address in addresses)]
