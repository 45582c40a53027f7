"""A throw-away public key infrastructure: to try the proxy out and to test it, never to protect anything.

One CA signs the proxy's certificate for its listeners (`guardian.crt`), the one it shows to devices
(`guardian-client.crt`), and those of clients and devices by name. Clients get a PKCS #12 file too, as fxpkcs11 takes
it. Whoever has the folder has every key; the CA's is `ca.key`.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from config.credentials import CredentialError, load_certificates, load_credentials, load_crls

Algorithm = Literal["rsa", "ecdsa"]
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

DEFAULT_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
_RESERVED: Final = ("ca", "guardian", "guardian-client")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
_EARLIER: Final = timedelta(minutes=5)  # for clocks that are a little behind ours


class PkiError(Exception):
    """The files cannot be made. The message says why, for people."""


@attrs.frozen(kw_only=True)
class Pair:
    """A certificate and its key, PEM each; ``p12`` holds both with the CA, with an empty password."""

    certificate: Path
    key: Path
    p12: Path | None = None


@attrs.frozen(kw_only=True)
class PkiFiles:
    """What `make_pki` wrote."""

    folder: Path
    ca: Path
    ca_key: Path
    server: Pair
    proxy_client: Pair  # what the proxy shows to devices
    clients: Mapping[str, Pair]
    devices: Mapping[str, Pair]
    crl: Path | None

    def paths(self) -> list[Path]:
        """Every file."""
        pairs = [self.server, self.proxy_client, *self.clients.values(), *self.devices.values()]
        listed = [self.ca, self.ca_key, self.crl, *(path for p in pairs for path in (p.certificate, p.key, p.p12))]
        return [path for path in listed if path is not None]


def make_pki(
    folder: Path,
    *,
    algorithm: Algorithm = "rsa",
    server_hosts: Sequence[str] = DEFAULT_HOSTS,
    clients: Sequence[str] = (),
    devices: Mapping[str, Sequence[str]] | None = None,
    days: int = 90,
    now: datetime | None = None,
    crl: bool = False,
    force: bool = False,
) -> PkiFiles:
    """Write a CA and what it signs into ``folder``, which is made if need be.

    ``devices``: name -> the hosts and addresses it is reached at. RSA keys have 2048 bits, ECDSA keys are on P-256.
    ``now`` is the moment from which the certificates count, by default the real one. ``crl`` adds an empty `ca.crl`.
    Raises `PkiError`, without having written anything, when a file is already there and ``force`` is not given.
    """
    devices = dict(devices or {})
    _check_names([*clients, *devices])
    _check_hosts([server_hosts, *devices.values()])
    files = _plan(folder, clients, devices, crl=crl)
    if not force:
        _check_free(files)
    start = now if now is not None else datetime.now(UTC)
    ca = _Authority.fresh(algorithm, start, days)
    _make_folder(folder)
    ca.write(files)
    ca.issue(files.server, "guardian", server_hosts, ExtendedKeyUsageOID.SERVER_AUTH)
    ca.issue(files.proxy_client, "guardian-client", (), ExtendedKeyUsageOID.CLIENT_AUTH)
    for name, pair in files.clients.items():
        ca.issue(pair, name, (), ExtendedKeyUsageOID.CLIENT_AUTH)
    for name, pair in files.devices.items():
        ca.issue(pair, name, devices[name], ExtendedKeyUsageOID.SERVER_AUTH)
    if files.crl is not None:
        _write(files.crl, _signed_list(ca.certificate, ca.key, {}, start, days))
    return files


def revoke(folder: Path, names: Iterable[str], *, days: int = 90, now: datetime | None = None) -> Path:
    """Put these clients' or devices' certificates on `ca.crl`, beside those already there; returns its path.

    The list is made if there is none. Raises `PkiError` when the folder has no such certificate or no CA.
    """
    start = now if now is not None else datetime.now(UTC)
    path = folder / "ca.crl"
    try:
        ca = load_credentials(folder / "ca.crt", folder / "ca.key", None)
        revoked = {entry.serial_number: entry.revocation_date_utc for entry in load_crls([path])[0]} \
            if path.exists() else {}  # fmt: skip
        for name in names:
            certificate = load_certificates([folder / f"{name}.crt"])[0]
            revoked.setdefault(certificate.serial_number, start)
    except CredentialError as exc:
        raise PkiError(str(exc)) from exc
    if not isinstance(ca.key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise PkiError(f"{folder / 'ca.key'}: is not a key that this command made")
    _write(path, _signed_list(ca.certificate, ca.key, revoked, start, days))
    return path


@attrs.frozen
class _Authority:
    """The CA while it works."""

    certificate: x509.Certificate
    key: Key
    algorithm: Algorithm

    @classmethod
    def fresh(cls, algorithm: Algorithm, start: datetime, days: int) -> _Authority:
        key = _fresh_key(algorithm)
        name = _name(f"Guardian throw-away CA {start:%Y-%m-%d %H:%M}")
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            _builder(name, name, key, start, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key, algorithm)

    def write(self, files: PkiFiles) -> None:
        _write(files.ca, self.certificate.public_bytes(Encoding.PEM))
        _write_secret(files.ca_key, _pem(self.key))

    def issue(self, pair: Pair, name: str, hosts: Sequence[str], purpose: ObjectIdentifier) -> None:
        """Make a key and a certificate of that Common Name, with ``hosts`` as SAN, and write them."""
        key = _fresh_key(self.algorithm)
        own = self.certificate
        start, end = own.not_valid_before_utc + _EARLIER, own.not_valid_after_utc
        issuer = own.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            _builder(_name(name), own.subject, key, start, (end - start).days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        _write(pair.certificate, certificate.public_bytes(Encoding.PEM))
        _write_secret(pair.key, _pem(key))
        if pair.p12 is not None:
            bag = pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, [own], NoEncryption())
            _write_secret(pair.p12, bag)


def _plan(folder: Path, clients: Iterable[str], devices: Iterable[str], *, crl: bool) -> PkiFiles:
    def pair(name: str, *, p12: bool = False) -> Pair:
        return Pair(
            certificate=folder / f"{name}.crt",
            key=folder / f"{name}.key",
            p12=folder / f"{name}.p12" if p12 else None,
        )

    return PkiFiles(
        folder=folder,
        ca=folder / "ca.crt",
        ca_key=folder / "ca.key",
        server=pair("guardian"),
        proxy_client=pair("guardian-client"),
        clients={name: pair(name, p12=True) for name in clients},
        devices={name: pair(name) for name in devices},
        crl=folder / "ca.crl" if crl else None,
    )


def _check_names(names: Sequence[str]) -> None:
    for place, name in enumerate(names):
        if not _NAME.fullmatch(name):
            raise PkiError(f"{name!r} cannot name files: use letters, digits, _ . and -, at most 60, no . - or _ first")
        if name.lower() in _RESERVED:
            raise PkiError(f"{name!r} is a name of the PKI's own files; take another")
        if name in names[:place]:
            raise PkiError(f"{name!r} is given twice")


def _check_hosts(groups: Iterable[Sequence[str]]) -> None:
    for host in (host for group in groups for host in group):
        try:
            _general_name(host)
        except ValueError as exc:
            raise PkiError(f"{host!r} is neither a host name nor an address") from exc
        if not host or set(host) & set(" /,*="):
            raise PkiError(f"{host!r} is neither a host name nor an address")


def _check_free(files: PkiFiles) -> None:
    present = [str(path) for path in files.paths() if os.path.lexists(path)]
    if present:
        raise PkiError(f"{', '.join(present[:3])}: already there; --force replaces what is in the folder")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise PkiError(f"{folder}: cannot be made: {(exc.strerror or type(exc).__name__).lower()}") from exc


def _fresh_key(algorithm: Algorithm) -> Key:
    if algorithm == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, start: datetime, days: int) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=start - _EARLIER,
        not_valid_after=start + timedelta(days=days),
    )


def _signed_list(ca: x509.Certificate, key: Key, revoked: Mapping[int, datetime], start: datetime, days: int) -> bytes:
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=ca.subject, last_update=start - _EARLIER, next_update=start + timedelta(days=days)
    )
    for serial, moment in revoked.items():
        entry = x509.RevokedCertificateBuilder(serial_number=serial, revocation_date=moment)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


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


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write beside the file and swap it in, so that a running proxy never reads a half of it."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
        fresh.replace(path)
    except OSError as exc:
        raise PkiError(f"{path}: cannot be written: {(exc.strerror or type(exc).__name__).lower()}") from exc


def _write_secret(path: Path, data: bytes) -> None:
    _write(path, data, mode=0o600)
