"""A throw-away CA with a certificate for each party, for one run."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from loadtest.native.programs import Credentials

LIFE: Final = datetime.timedelta(days=2)
PARTIES: Final = ("device", "proxy", "client")  # each may be server and client, at 127.0.0.1


@attrs.frozen(kw_only=True)
class Pki:
    device: Credentials
    proxy: Credentials
    client: Credentials


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(common_name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + LIFE)
    )


def make_pki(folder: Path) -> Pki:
    """Write ca.crt and, for each party, a certificate and key (P-256, PEM) into `folder`."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    ca_usage = x509.KeyUsage(
        **usage, digital_signature=True, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False
    )
    ca = (
        _builder("compare CA", "compare CA", ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(ca_usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    ca_file = folder / "ca.crt"
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    made = {}
    for party in PARTIES:
        key = ec.generate_private_key(ec.SECP256R1())
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        certificate = (
            _builder(party, "compare CA", key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        credentials = Credentials(certificate=folder / f"{party}.crt", key=folder / f"{party}.key", ca=ca_file)
        credentials.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        credentials.key.touch(mode=0o600)
        credentials.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        made[party] = credentials
    return Pki(**made)
