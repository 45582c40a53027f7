"""TLS contexts, made whole from one part of the configuration and the files it names.

A context is never changed: what can only be added to it (trust) may also have to go. A reload makes new ones and swaps
them in together with their policies, which also forgets the sessions that clients could resume.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from config.credentials import CredentialError, Credentials, load_credentials
from config.model import DeviceTls, ListenerTls, TlsMode, Verify

from .groups import limit_default_groups, limit_groups
from .peers import DevicePolicy, Peer, PeerPolicy, normal_fingerprint
from .trust import Trust, load_trust

# TLS 1.2: forward secrecy and AEAD only. The vendor's clients are built with OpenSSL 1.0.x and 1.1.x, and every suite
# here but ChaCha20 is in 1.0.1. TLS 1.3 has no others than AEAD suites. Level 2: no RSA key under 2048 bits, no SHA-1.
_CIPHERS: Final = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "DHE-RSA-AES128-GCM-SHA256",
        "DHE-RSA-AES256-GCM-SHA384",
        "DHE-RSA-CHACHA20-POLY1305",
        "@SECLEVEL=2",
    )
)
# The group ffdhe2048 of RFC 7919, for DHE suites.
_DH_PARAMETERS: Final = b"""\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""
_VERSIONS: Final[Mapping[str, ssl.TLSVersion]] = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@attrs.frozen(kw_only=True)
class ServerSide:
    """What a listener needs for TLS, from one reading of its files."""

    context: ssl.SSLContext
    policy: PeerPolicy | None  # None where clients show no certificate

    def check(self, sock: ssl.SSLSocket | ssl.SSLObject, now: float) -> Peer | None:
        """Who the client is, after every handshake; None in mode `server`. Raises `PeerRefused`: close the socket."""
        if self.policy is None:
            return None
        return self.policy.check(sock.getpeercert(binary_form=True), now, verified_chain(sock))


@attrs.frozen(kw_only=True)
class DeviceSide:
    """What connections to one device need for TLS, from one reading of its files."""

    context: ssl.SSLContext
    policy: DevicePolicy

    def check(self, sock: ssl.SSLSocket, now: float) -> Peer:
        """Who the device is, after every handshake. Raises `PeerRefused`: close the socket."""
        return self.policy.check(sock.getpeercert(binary_form=True), now, verified_chain(sock))


def server_side(tls: ListenerTls) -> ServerSide | None:
    """Context and policy of a listener; None for clear. Raises `CredentialError`."""
    if tls.mode is TlsMode.CLEAR:
        return None
    if tls.certificate is None:
        raise CredentialError(f"a listener with tls mode {tls.mode.value} needs a 'certificate:'")
    mutual = tls.mode is TlsMode.MUTUAL
    if mutual and not tls.ca:
        raise CredentialError("a listener with tls mode mutual needs a 'ca:' that has signed its clients' certificates")
    credentials = load_credentials(tls.certificate, tls.key, tls.key_password_file)
    trust = load_trust(tls.ca, tls.crl) if mutual else None
    limit_default_groups()
    context = _context(ssl.PROTOCOL_TLS_SERVER, tls.min_version)
    limit_groups(context)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_DH_USE | ssl.OP_SINGLE_ECDH_USE
    context.num_tickets = 0
    with _readable(_DH_PARAMETERS) as path:
        context.load_dh_params(path)
    _show(context, credentials, tls.certificate, trust)
    if trust is None:
        return ServerSide(context=context, policy=None)
    _believe(context, trust)
    return ServerSide(context=context, policy=PeerPolicy(trust, client_auth_required=tls.client_auth == "required"))


def device_side(tls: DeviceTls, host: str) -> DeviceSide | None:
    """Context and policy for one device; ``host`` is the name expected where the configuration says none.

    None for clear. Raises `CredentialError`.
    """
    if tls.mode is TlsMode.CLEAR:
        return None
    pinned = tls.verify is Verify.FINGERPRINT
    if pinned:
        _check_pin(tls.fingerprint)
    if not tls.ca and not pinned:
        raise CredentialError(
            f"a device with 'verify: {tls.verify.value}' needs a 'ca:' that has signed its certificate"
        )
    credentials = None
    if tls.mode is TlsMode.MUTUAL:
        if tls.certificate is None:
            raise CredentialError("a device with tls mode mutual needs a 'certificate:' to show to it")
        credentials = load_credentials(tls.certificate, tls.key, tls.key_password_file)
    trust = load_trust(tls.ca, tls.crl) if tls.ca else None
    context = _context(ssl.PROTOCOL_TLS_CLIENT, tls.min_version)
    context.check_hostname = False  # `DevicePolicy` does, and knows certificates without a SAN
    if credentials is not None and tls.certificate is not None:
        _show(context, credentials, tls.certificate, trust)
    if trust is not None:
        _believe(context, trust)
    else:
        context.verify_mode = ssl.CERT_NONE  # the policy compares the whole certificate with its fingerprint
    policy = DevicePolicy(trust, verify=tls.verify, name=tls.name or host, fingerprint=tls.fingerprint)
    return DeviceSide(context=context, policy=policy)


def client_context(credentials: Credentials | None, source: Path, trust: Trust | None) -> ssl.SSLContext:
    """What a client of ours would connect with: it shows ``credentials``, which came from ``source``.

    It believes ``trust``, whatever the name, or anybody where there is none. Raises `CredentialError`.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, "1.2")
    context.check_hostname = False
    if credentials is not None:
        _show(context, credentials, source, trust)
    if trust is not None:
        _believe(context, trust)
    else:
        context.verify_mode = ssl.CERT_NONE
    return context


def verified_chain(sock: ssl.SSLSocket | ssl.SSLObject) -> tuple[bytes, ...]:
    """The chain in DER as the handshake verified it, leaf first and root last; empty if resumed or not verified."""
    if hasattr(sock, "get_verified_chain"):  # from Python 3.13 on
        return tuple(sock.get_verified_chain())
    import _ssl  # noqa: PLC0415 (only older Pythons need it, and only there is it like this)

    chain = sock._sslobj.get_verified_chain()  # type: ignore[union-attr]
    return tuple(certificate.public_bytes(_ssl.ENCODING_DER) for certificate in chain or ())


def _context(protocol: int, min_version: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = _VERSIONS[min_version]
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    # Certificates by the vendor's guides lack extensions that strict checking asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _show(context: ssl.SSLContext, credentials: Credentials, source: Path, trust: Trust | None) -> None:
    """Give the context what it shows of itself. Python takes it from files only, and the key must not lie in one.

    Where no chain is given, it is made here once from the CAs that are trusted. OpenSSL would make the same one, but
    anew in every handshake, and verify each signature in it: a tenth of what a handshake costs.
    """
    password = secrets.token_urlsafe(24)
    key = credentials.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))
    chain = credentials.chain or (trust.above(credentials.certificate) if trust is not None else ())
    certificates = (credentials.certificate, *chain)
    with _readable(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates) + key) as path:
        try:
            context.load_cert_chain(path, password=password)
        except ssl.SSLError as exc:
            raise CredentialError(f"{source}: OpenSSL does not take it: {_reason(exc)}") from exc


def _believe(context: ssl.SSLContext, trust: Trust) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    listed: Sequence[x509.Certificate | x509.CertificateRevocationList] = (*trust.certificates, *trust.crls)
    with _readable(b"".join(item.public_bytes(Encoding.PEM) for item in listed)) as path:
        try:
            context.load_verify_locations(path)
        except ssl.SSLError as exc:
            raise CredentialError(
                f"the files under 'ca:' and 'crl:': OpenSSL does not take them: {_reason(exc)}"
            ) from exc
    if trust.crls:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _check_pin(fingerprint: str | None) -> None:
    try:
        normal_fingerprint(fingerprint or "")
    except ValueError as exc:
        raise CredentialError(f"a device with 'verify: fingerprint' needs its 'fingerprint:'; {exc}") from exc


@contextlib.contextmanager
def _readable(data: bytes) -> Iterator[str]:
    """A path that OpenSSL can read ``data`` from: memory where the system has such files, else a private file."""
    in_memory = hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir()
    if in_memory:
        descriptor = os.memfd_create("credentials")
        path = f"/proc/self/fd/{descriptor}"
    else:
        descriptor, path = tempfile.mkstemp()
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            yield path
    finally:
        if not in_memory:
            os.unlink(path)


def _reason(exc: ssl.SSLError) -> str:
    return (exc.reason or str(exc)).lower().replace("_", " ")
