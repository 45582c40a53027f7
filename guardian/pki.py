"""A throw-away public key infrastructure: to try the proxy out and to test it, never to protect anything.

One CA signs the proxy's certificate for its listeners (`guardian.crt`), the one it shows to devices
(`guardian-client.crt`), and those of clients and devices by name. Clients get a PKCS #12 file too, as fxpkcs11 takes
it. Whoever has the folder has every key; the CA's is `ca.key`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config.credentials import CredentialError, load_certificates, load_crls

from .authority import Algorithm, Authority, Pair, PkiError, Wanted, general_name, write

__all__ = ["Algorithm", "DEFAULT_HOSTS", "Pair", "PkiError", "PkiFiles", "add", "make_pki", "renew", "revoke"]

DEFAULT_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
_RESERVED: Final = ("ca", "guardian", "guardian-client")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
_SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH
_CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH


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
    p12_password: bytes | None = None,
) -> PkiFiles:
    """Write a CA and what it signs into ``folder``, which is made if need be.

    ``devices``: name -> the hosts and addresses it is reached at. RSA keys have 2048 bits, ECDSA keys are on P-256.
    ``now`` is the moment from which the certificates count, by default the real one. ``crl`` adds an empty `ca.crl`.
    ``p12_password``: of the clients' PKCS #12 files, by default none.
    Raises `PkiError`, without having written anything, when a file is already there and ``force`` is not given.
    """
    devices = dict(devices or {})
    _check_names([*clients, *devices])
    _check_hosts([server_hosts, *devices.values()])
    files = _plan(folder, clients, devices, crl=crl)
    if not force:
        _check_free(files.paths(), "--force replaces what is in the folder, --add adds to it")
    start = now if now is not None else datetime.now(UTC)
    ca = Authority.fresh(algorithm, start, days)
    _make_folder(folder)
    ca.write(files.ca, files.ca_key)
    ca.issue(files.server, Wanted("guardian", server_hosts, _SERVER), start, days)
    ca.issue(files.proxy_client, Wanted("guardian-client", (), _CLIENT), start, days)
    _issue_named(ca, files, devices, start, days, p12_password)
    if files.crl is not None:
        write(files.crl, ca.revocations({}, start, days))
    return files


def add(
    folder: Path,
    *,
    clients: Sequence[str] = (),
    devices: Mapping[str, Sequence[str]] | None = None,
    days: int = 90,
    now: datetime | None = None,
    p12_password: bytes | None = None,
) -> list[Path]:
    """Make more certificates with the CA that is in ``folder``; gives the files.

    Their keys are of the CA's kind. Raises `PkiError`, without having written anything, when one is already there.
    """
    devices = dict(devices or {})
    _check_names([*clients, *devices])
    _check_hosts(devices.values())
    ca = _authority(folder)
    files = _plan(folder, clients, devices, crl=False)
    pairs = [*files.clients.values(), *files.devices.values()]
    made = [path for pair in pairs for path in _paths(pair)]
    _check_free(made, "--renew makes a new one for the same name")
    start = now if now is not None else datetime.now(UTC)
    _issue_named(ca, files, devices, start, days, p12_password)
    return made


def renew(
    folder: Path,
    names: Iterable[str],
    *,
    days: int = 90,
    now: datetime | None = None,
    p12_password: bytes | None = None,
) -> list[Path]:
    """Make new keys and certificates in place of these, which say the same; gives the files.

    The earlier ones stay good until they end: `revoke` them first where they must not. Raises `PkiError`.
    """
    ca = _authority(folder)
    start = now if now is not None else datetime.now(UTC)
    planned = []
    for name in names:
        if name == "ca" or not _NAME.fullmatch(name):
            raise PkiError(f"{name!r} is no certificate that can be renewed: a new CA is a new folder")
        p12 = folder / f"{name}.p12"
        pair = Pair(certificate=folder / f"{name}.crt", key=folder / f"{name}.key", p12=p12 if p12.exists() else None)
        try:
            planned.append((pair, _same(load_certificates([pair.certificate])[0])))
        except (CredentialError, x509.ExtensionNotFound, IndexError) as exc:
            raise PkiError(f"{pair.certificate} is no certificate that this command made: {exc}") from exc
    for pair, wanted in planned:
        ca.issue(pair, wanted, start, days, p12_password)
    return [path for pair, _ in planned for path in _paths(pair)]


def revoke(folder: Path, names: Iterable[str], *, days: int = 90, now: datetime | None = None) -> Path:
    """Put these clients' or devices' certificates on `ca.crl`, beside those already there; returns its path.

    The list is made if there is none. Raises `PkiError` when the folder has no such certificate or no CA.
    """
    start = now if now is not None else datetime.now(UTC)
    path = folder / "ca.crl"
    ca = _authority(folder)
    try:
        revoked = {entry.serial_number: entry.revocation_date_utc for entry in load_crls([path])[0]} \
            if path.exists() else {}  # fmt: skip
        for name in names:
            certificate = load_certificates([folder / f"{name}.crt"])[0]
            revoked.setdefault(certificate.serial_number, start)
    except CredentialError as exc:
        raise PkiError(str(exc)) from exc
    write(path, ca.revocations(revoked, start, days))
    return path


def _authority(folder: Path) -> Authority:
    """Raises `PkiError`."""
    try:
        return Authority.read(folder)
    except CredentialError as exc:
        raise PkiError(f"{exc} (there must be a CA that `guardian pki` made)") from exc


def _issue_named(
    ca: Authority,
    files: PkiFiles,
    devices: Mapping[str, Sequence[str]],
    start: datetime,
    days: int,
    p12_password: bytes | None,
) -> None:
    for name, pair in files.clients.items():
        ca.issue(pair, Wanted(name, (), _CLIENT), start, days, p12_password)
    for name, pair in files.devices.items():
        ca.issue(pair, Wanted(name, devices[name], _SERVER), start, days)


def _same(certificate: x509.Certificate) -> Wanted:
    """What a certificate of ours says."""
    names: list[str] = []
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names = [str(name.value) for name in extension.value]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    common_name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return Wanted(str(common_name), names, next(iter(usage)))


def _paths(pair: Pair) -> list[Path]:
    return [path for path in (pair.certificate, pair.key, pair.p12) if path is not None]


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
            general_name(host)
        except ValueError as exc:
            raise PkiError(f"{host!r} is neither a host name nor an address") from exc
        if not host or set(host) & set(" /,*="):
            raise PkiError(f"{host!r} is neither a host name nor an address")


def _check_free(paths: Iterable[Path], hint: str) -> None:
    present = [str(path) for path in paths if os.path.lexists(path)]
    if present:
        raise PkiError(f"{', '.join(present[:3])}: already there; {hint}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise PkiError(f"{folder}: cannot be made: {(exc.strerror or type(exc).__name__).lower()}") from exc
