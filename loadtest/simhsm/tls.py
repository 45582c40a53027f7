"""TLS contexts of an emulated device."""

from __future__ import annotations

import datetime
import ssl
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_CURVES: Final = "prime256v1"


def server_context(
    certificate: Path, key: Path | None = None, ca: Sequence[Path] = (), password: str | None = None
) -> ssl.SSLContext:
    """A device's side of TLS. With `ca` clients must show a certificate of it (mutual), without it none is asked for.

    Raises OSError, and ssl.SSLError for files that are not what they should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key, password=password or "")
    context.num_tickets = 0
    context.set_ecdh_curve(_CURVES)
    if ca:
        context.verify_mode = ssl.CERT_REQUIRED
        for file in ca:
            context.load_verify_locations(file)
    return context


@cache
def nobodys_context() -> ssl.SSLContext:
    """A context with a self-signed certificate of a name that no device has; for the wrong-certificate fault."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody.invalid")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # the ssl module loads keys from files only
        file = Path(folder, "nobody.pem")
        file.touch(mode=0o600)
        file.write_bytes(
            certificate.public_bytes(Encoding.PEM)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        context.load_cert_chain(file)
    return context


def common_name(peer: object) -> str | None:
    """The Common Name of what `SSLSocket.getpeercert` gave."""
    if not isinstance(peer, dict):
        return None
    for part in peer.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return None
