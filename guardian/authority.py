"""The CA of a throw-away PKI while it works: keys, certificates, lists, and the files they go to."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID, ObjectIdentifier

from config.credentials import load_credentials

Algorithm = Literal["rsa", "ecdsa"]
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_EARLIER: Final = timedelta(minutes=5)  # for clocks that are a little behind ours
_P12_ROUNDS: Final = 2048  # what OpenSSL has always used; the password of a throw-away file protects little


class PkiError(Exception):
    """The files cannot be made. The message says why, for people."""


@attrs.frozen(kw_only=True)
class Pair:
    """A certificate and its key, PEM each; ``p12`` holds both with the CA, without a password where none is given."""

    certificate: Path
    key: Path
    p12: Path | None = None


@attrs.frozen
class Wanted:
    """What a certificate shall say: its Common Name, its names and addresses (none: no SAN), what it is for."""

    name: str
    hosts: Sequence[str]
    purpose: ObjectIdentifier


@attrs.frozen
class Authority:
    """The CA while it works."""

    certificate: x509.Certificate
    key: Key
    algorithm: Algorithm

    @classmethod
    def fresh(cls, algorithm: Algorithm, start: datetime, days: int) -> Authority:
        key = _fresh_key(algorithm)
        name = _name(f"Guardian throw-away CA {start:%Y-%m-%d %H:%M}")
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            _builder(name, name, key, start, start + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key, algorithm)

    @classmethod
    def read(cls, folder: Path) -> Authority:
        """Of a folder that `write` has written. Raises `CredentialError`, and `PkiError` for another kind of CA."""
        found = load_credentials(folder / "ca.crt", folder / "ca.key", None)
        if isinstance(found.key, rsa.RSAPrivateKey):
            return cls(found.certificate, found.key, "rsa")
        if isinstance(found.key, ec.EllipticCurvePrivateKey):
            return cls(found.certificate, found.key, "ecdsa")
        raise PkiError(f"{folder / 'ca.key'}: is not a key that this command made")

    def write(self, certificate: Path, key: Path) -> None:
        write(certificate, self.certificate.public_bytes(Encoding.PEM))
        write_secret(key, _pem(self.key))

    def issue(self, pair: Pair, given: Wanted, start: datetime, days: int, password: bytes | None = None) -> None:
        """Make a key and a certificate, which ends with the CA at the latest, and write them.

        ``password``: of the PKCS #12 file.
        """
        key = _fresh_key(self.algorithm)
        own = self.certificate
        end = min(start + timedelta(days=days), own.not_valid_after_utc)
        issuer = own.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            _builder(_name(given.name), own.subject, key, start, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([given.purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        )
        if given.hosts:
            names = x509.SubjectAlternativeName([general_name(host) for host in given.hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        write(pair.certificate, certificate.public_bytes(Encoding.PEM))
        write_secret(pair.key, _pem(key))
        if pair.p12 is not None:
            bag = pkcs12.serialize_key_and_certificates(
                given.name.encode(), key, certificate, [own], _p12_protection(password)
            )
            write_secret(pair.p12, bag)

    def revocations(self, revoked: Mapping[int, datetime], start: datetime, days: int) -> bytes:
        """A signed list, PEM, of these serial numbers with the moments of their revocation."""
        builder = x509.CertificateRevocationListBuilder(
            issuer_name=self.certificate.subject, last_update=start - _EARLIER, next_update=start + timedelta(days=days)
        )
        for serial, moment in revoked.items():
            entry = x509.RevokedCertificateBuilder(serial_number=serial, revocation_date=moment)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _fresh_key(algorithm: Algorithm) -> Key:
    if algorithm == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=start - _EARLIER,
        not_valid_after=end,
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    """What a key may do: sign certificates and lists, or handshakes."""
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _p12_protection(password: bytes | None) -> KeySerializationEncryption:
    """As OpenSSL 1.0.x wrote it, and every release since reads it: the clients' library is built with old ones."""
    if not password:
        return NoEncryption()
    builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(_P12_ROUNDS)
    builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
    return builder.hmac_hash(hashes.SHA1()).build(password)  # noqa: S303 - what those releases can check


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write beside the file and swap it in, so that a running proxy never reads a half of it."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
        fresh.replace(path)
    except OSError as exc:
        raise PkiError(f"{path}: cannot be written: {(exc.strerror or type(exc).__name__).lower()}") from exc


def write_secret(path: Path, data: bytes) -> None:
    write(path, data, mode=0o600)
