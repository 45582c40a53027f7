"""Whom we believe: the CAs, and what they have revoked. Facts from files, judged without any socket or clock."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from config.credentials import CredentialError, load_certificates, load_crls

_NEVER: Final = float("inf")


@attrs.frozen(kw_only=True)
class Revocation:
    """What one issuer has revoked."""

    issuer: str  # for people
    serials: frozenset[int]
    next_update: float  # Unix time; past it nothing is known of any certificate


@attrs.frozen(kw_only=True)
class Trust:
    """The CAs and revocation lists of one configuration."""

    certificates: tuple[x509.Certificate, ...]
    crls: tuple[x509.CertificateRevocationList, ...] = ()
    anchors: frozenset[str]  # `anchor` of every CA
    revocations: Mapping[bytes, Revocation]  # by the issuer's name in DER; empty: nobody asks for revocation

    def objection(self, issuer: bytes, serial: int, now: float) -> str | None:
        """Why the certificate must not be believed at ``now`` (Unix time); None if nothing speaks against it.

        Once any list is given, an issuer without one, or with an old one, vouches for nobody: OpenSSL decides the same
        in the handshake.
        """
        if not self.revocations:
            return None
        revocation = self.revocations.get(issuer)
        if revocation is None:
            return "there is no revocation list of its issuer"
        if serial in revocation.serials:
            return "it is revoked"
        if now >= revocation.next_update:
            ended = datetime.fromtimestamp(revocation.next_update, UTC)
            return f"the revocation list of {revocation.issuer} ended at {ended:%Y-%m-%d %H:%M:%S} UTC; give a new one"
        return None

    def above(self, certificate: x509.Certificate) -> tuple[x509.Certificate, ...]:
        """The CAs from the one that signed the certificate up to the root, as far as they are known here."""
        found: list[x509.Certificate] = []
        last = certificate
        while last.issuer != last.subject:
            issuer = next((ca for ca in self.certificates if ca not in found and _issued(ca, last)), None)
            if issuer is None:
                break
            found.append(issuer)
            last = issuer
        return tuple(found)


def load_trust(ca: Sequence[Path], crl: Sequence[Path]) -> Trust:
    """Read CAs and lists. Raises `CredentialError`, also for a list that its CA did not sign."""
    certificates = load_certificates(ca)
    crls: list[x509.CertificateRevocationList] = []
    for path in crl:
        for found in load_crls([path]):
            _check_signature(path, found, certificates)
            crls.append(found)
    return Trust(
        certificates=certificates,
        crls=tuple(crls),
        anchors=frozenset(anchor(certificate) for certificate in certificates),
        revocations=_revocations(crls),
    )


def anchor(certificate: x509.Certificate) -> str:
    """What makes a CA the same CA: its name and key. A root that was renewed with its old key stays trusted."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(certificate.subject.public_bytes() + key).hexdigest()


def _check_signature(path: Path, crl: x509.CertificateRevocationList, certificates: Sequence[x509.Certificate]) -> None:
    """A list of an intermediate CA that only clients send cannot be checked here; OpenSSL does in the handshake."""
    issuers = [certificate for certificate in certificates if certificate.subject == crl.issuer]
    if issuers and not any(_signed_by(crl, issuer) for issuer in issuers):
        name = crl.issuer.rfc4514_string()
        raise CredentialError(
            f"{path}: names {name} as its issuer, but is not signed by the CA of that name under 'ca:'"
        )


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (TypeError, ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


def _revocations(crls: Sequence[x509.CertificateRevocationList]) -> dict[bytes, Revocation]:
    """One entry per issuer: revoked in any of its lists, and known until its newest list ends."""
    found: dict[bytes, Revocation] = {}
    for crl in crls:
        issuer = crl.issuer.public_bytes()
        earlier = found.get(issuer)
        ends = crl.next_update_utc.timestamp() if crl.next_update_utc is not None else _NEVER
        found[issuer] = Revocation(
            issuer=crl.issuer.rfc4514_string(),
            serials=frozenset(entry.serial_number for entry in crl) | (earlier.serials if earlier else frozenset()),
            next_update=max(ends, earlier.next_update) if earlier else ends,
        )
    return found
