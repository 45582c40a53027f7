"""Certificates to measure, and TLS over real sockets without threads and waiting."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@functools.cache
def key(kind: str = "p256", number: int = 0) -> Key:
    """A key, made once for all tests. Kinds: p256, p384, rsa."""
    del number
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP384R1() if kind == "p384" else ec.SECP256R1())


@attrs.frozen
class Issued:
    """A certificate, its key, and the CAs between it and the root."""

    certificate: x509.Certificate
    key: Key
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return b"".join(c.public_bytes(Encoding.PEM) for c in (self.certificate, *self.chain))

    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        certificate, private = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.pem)
        private.write_bytes(self.key_pem())
        return certificate, private


def issue(
    issuer: Issued | None,
    name: str = "somebody",
    *,
    kind: str = "p256",
    number: int = 1,
    ca: bool = False,
    eku: Iterable[ObjectIdentifier] | None = (),
    san: Sequence[str] = (),
    start: datetime = NOW - DAY,
    end: datetime = NOW + 30 * DAY,
    common_names: Sequence[str] | None = None,
) -> Issued:
    """A certificate, self-signed without an issuer. ``eku``: None or empty leaves the extension out."""
    own = key(kind, number)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, text)
            for text in (common_names if common_names is not None else [name])
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if eku:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(eku)), critical=False)
    if san:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(text) for text in san]), critical=False)
    certificate = builder.sign(issuer.key if issuer else own, hashes.SHA256())
    above = (
        (issuer.certificate, *issuer.chain)
        if issuer and issuer.certificate.issuer != issuer.certificate.subject
        else ()
    )
    return Issued(certificate, own, above)


def authority(name: str = "Root", *, kind: str = "p256", number: int = 0, end: datetime = NOW + 90 * DAY) -> Issued:
    return issue(None, name, kind=kind, number=number, ca=True, end=end)


def crl(
    issuer: Issued, revoked: Iterable[Issued] = (), *, end: datetime = NOW + 7 * DAY, start: datetime = NOW - DAY
) -> bytes:
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=issuer.certificate.subject, last_update=start, next_update=end
    )
    for one in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder(serial_number=one.certificate.serial_number, revocation_date=start).build()
        )
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _general(text: str) -> x509.GeneralName:
    if "@" in text:
        return x509.RFC822Name(text)
    if "://" in text:
        return x509.UniformResourceIdentifier(text)
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


@attrs.frozen
class Shaken:
    """Both ends after a handshake, non-blocking; an end that failed has its error."""

    server: ssl.SSLSocket
    client: ssl.SSLSocket
    server_error: OSError | None
    client_error: OSError | None

    @property
    def complete(self) -> bool:
        return self.server_error is None and self.client_error is None


@contextlib.contextmanager
def shaken(
    server: ssl.SSLContext, client: ssl.SSLContext, *, session: ssl.SSLSession | None = None, host: str = "hsm1"
) -> Iterator[Shaken]:
    """Shake hands over a socket pair, each side in its turn, as far as it goes."""
    left, right = socket.socketpair()
    for sock in (left, right):
        sock.setblocking(False)
    near = server.wrap_socket(left, server_side=True, do_handshake_on_connect=False)
    far = client.wrap_socket(right, do_handshake_on_connect=False, session=session, server_hostname=host)
    with near, far:
        ends = [_step(far), _step(near)]
        while any(end is None for end in ends) and not any(isinstance(end, OSError) for end in ends):
            ends = [_step(far), _step(near)]
        # One more turn: the side that was done, or refused, learns what the other made of it.
        ends = [
            end if isinstance(end, OSError) else last for end, last in zip(ends, (_last(far), _last(near)), strict=True)
        ]
        yield Shaken(near, far, *(end if isinstance(end, OSError) else None for end in reversed(ends)))
        for sock in (near, far):  # OpenSSL resumes only sessions that have ended with a goodbye
            with contextlib.suppress(OSError, ValueError):
                sock.unwrap()


def _step(sock: ssl.SSLSocket) -> OSError | bool | None:
    """True when done, None when it waits."""
    try:
        sock.do_handshake()
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None
    except OSError as exc:
        return exc
    return True


def _last(sock: ssl.SSLSocket) -> OSError | None:
    try:
        sock.recv(1)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None
    except OSError as exc:
        return exc
    return ssl.SSLError("ended")


def client_context(
    folder: Path,
    ca: Issued,
    me: Issued | None = None,
    *,
    version: ssl.TLSVersion | None = None,
    change: Callable[[ssl.SSLContext], None] | None = None,
) -> ssl.SSLContext:
    """A client that is not ours: it believes ``ca`` and shows ``me``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=ca.certificate.public_bytes(Encoding.DER))
    if me is not None:
        context.load_cert_chain(*me.write(folder, "other-client"))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if change is not None:
        change(context)
    return context
