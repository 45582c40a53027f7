"""Our own check of the other side's certificate, on every connection.

OpenSSL checks the chain, but only in a full handshake: TLS 1.2 resumes sessions by their ID even without tickets, and
then a certificate that expired or was revoked meanwhile comes in unseen. It also takes client certificates that never
say what they are for. So what is here runs after each handshake, and again on live connections after a reload. No
sockets and no clock: certificates in DER and ``now`` (Unix time) come in.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config.model import Verify

from .names import matches_name
from .trust import Trust, anchor

# As many certificates as a listener has connections by default; parsing one costs as much as fifty look-ups.
_CACHE_SIZE: Final = 4096


E = TypeVar("E", bound=x509.ExtensionType)


class PeerRefused(ValueError):  # noqa: N818 (what happened, as the log says it)
    """The certificate does not pass. The message says why, for the log; the peer gets no reason."""


@attrs.frozen(kw_only=True)
class Certificate:
    """What we need of a certificate, parsed once."""

    common_name: str | None  # None also where there are several: nobody can say which one counts
    subject: str  # for people
    has_san: bool
    dns_names: tuple[str, ...]
    addresses: tuple[str, ...]
    sans: tuple[str, ...]  # DNS names, addresses, mail addresses, URIs
    fingerprint: str  # sha256:<hex>
    serial: int
    issuer: bytes  # DER
    not_before: float
    not_after: float
    purposes: frozenset[str] | None  # of extendedKeyUsage, dotted; None where there is none
    anchor: str


@attrs.frozen(kw_only=True)
class Peer:
    """Who is on the other side, as its certificate says; times are Unix times."""

    common_name: str | None
    sans: tuple[str, ...]
    fingerprint: str
    serial: int
    not_after: float
    expires: float  # when the first certificate of its chain ends
    root: str | None  # the `anchor` of the CA it was believed for; None where no handshake of ours has shown it
    certificate: Certificate = attrs.field(repr=False)
    trust: Trust | None = attrs.field(repr=False, eq=False)  # of the context that let it in


class PeerPolicy:
    """Which clients a listener lets in. Belongs to one SSLContext, and is replaced with it.

    ``client_auth_required`` refuses certificates without extendedKeyUsage; those that have it and leave clientAuth out
    are refused in any case.
    """

    def __init__(self, trust: Trust, *, client_auth_required: bool = True) -> None:
        self._trust = trust
        self._client_auth_required = client_auth_required
        self._chains = _Chains()

    def check(self, der: bytes | None, now: float, chain: Sequence[bytes] = ()) -> Peer:
        """The client with this certificate. ``chain``: as verified in the handshake, leaf first; empty if resumed.

        Raises `PeerRefused`.
        """
        peer = self._chains.peer(_present(der, "client"), chain, self._trust)
        self.recheck(peer, now)
        return peer

    def recheck(self, peer: Peer, now: float) -> None:
        """Whether a live connection's client, let in by this or an earlier policy, still passes.

        Raises `PeerRefused`.
        """
        _check_dates(peer, now)
        _check_trust(self._trust, peer, now)
        purposes = peer.certificate.purposes
        if purposes is None:
            if self._client_auth_required:
                raise PeerRefused("the certificate has no extendedKeyUsage; it must say clientAuth")
        elif ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string not in purposes:
            raise PeerRefused("the certificate's extendedKeyUsage leaves out clientAuth")


class DevicePolicy:
    """Which certificate a device must show. Belongs to one SSLContext, and is replaced with it.

    ``name`` is compared for `Verify.NAME`, ``fingerprint`` for `Verify.FINGERPRINT`. ``trust`` is None where the
    fingerprint is all that counts.
    """

    def __init__(self, trust: Trust | None, *, verify: Verify, name: str, fingerprint: str | None = None) -> None:
        self._trust = trust
        self._verify = verify
        self._name = name
        self._fingerprint = normal_fingerprint(fingerprint) if fingerprint is not None else None
        self._chains = _Chains()

    def check(self, der: bytes | None, now: float, chain: Sequence[bytes] = ()) -> Peer:
        """The device with this certificate; parameters as for `PeerPolicy.check`. Raises `PeerRefused`."""
        peer = self._chains.peer(_present(der, "device"), chain, self._trust)
        self.recheck(peer, now)
        return peer

    def recheck(self, peer: Peer, now: float) -> None:
        """Whether a live connection's device still passes. Raises `PeerRefused`."""
        _check_dates(peer, now)
        if self._trust is not None:
            _check_trust(self._trust, peer, now)
        certificate = peer.certificate
        purposes = certificate.purposes
        if purposes is not None and ExtendedKeyUsageOID.SERVER_AUTH.dotted_string not in purposes:
            raise PeerRefused("the certificate's extendedKeyUsage leaves out serverAuth")
        if self._verify is Verify.FINGERPRINT:
            if self._fingerprint is None or peer.fingerprint != self._fingerprint:
                raise PeerRefused(f"the certificate's fingerprint is {peer.fingerprint}, not the expected one")
        elif self._verify is Verify.NAME and not matches_name(
            self._name,
            has_san=certificate.has_san,
            dns_names=certificate.dns_names,
            addresses=certificate.addresses,
            common_name=certificate.common_name,
        ):
            raise PeerRefused(f"the certificate is not for {self._name!r} but for {_names(certificate)}")


def normal_fingerprint(text: str) -> str:
    """``sha256:<64 hex digits>`` in lower case; colons between pairs, as OpenSSL prints them, are dropped.

    Raises ValueError for anything else.
    """
    kind, _, digits = text.strip().lower().partition(":")
    digits = digits.replace(":", "")
    if kind != "sha256" or len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise ValueError("a fingerprint is 'sha256:' and 64 hexadecimal digits")
    return f"sha256:{digits}"


class _Chains:
    """The chains that full handshakes have shown, so that a resumed session, which shows none, has its root too."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] = {}  # fingerprint of the leaf -> its root, the end of its chain

    def peer(self, der: bytes, chain: Sequence[bytes], trust: Trust | None) -> Peer:
        certificate = read_certificate(der)
        fingerprint = certificate.fingerprint
        if chain:
            links = [read_certificate(link) for link in chain]
            self._remember(fingerprint, (links[-1].anchor, min(link.not_after for link in links)))
        root, expires = self._seen.get(fingerprint, (None, certificate.not_after))
        return Peer(
            common_name=certificate.common_name,
            sans=certificate.sans,
            fingerprint=fingerprint,
            serial=certificate.serial,
            not_after=certificate.not_after,
            expires=expires,
            root=root,
            certificate=certificate,
            trust=trust,
        )

    def _remember(self, fingerprint: str, end: tuple[str, float]) -> None:
        self._seen.pop(fingerprint, None)
        self._seen[fingerprint] = end
        if len(self._seen) > _CACHE_SIZE:
            del self._seen[next(iter(self._seen))]  # the one not seen for longest


def _present(der: bytes | None, who: str) -> bytes:
    if not der:
        raise PeerRefused(f"the {who} showed no certificate")
    return der


def _check_dates(peer: Peer, now: float) -> None:
    if now < peer.certificate.not_before:
        raise PeerRefused(f"the certificate is not valid before {_date(peer.certificate.not_before)}")
    if now >= peer.not_after:
        raise PeerRefused(f"the certificate ended at {_date(peer.not_after)}")
    if now >= peer.expires:
        raise PeerRefused(f"a CA's certificate above it ended at {_date(peer.expires)}")


def _check_trust(trust: Trust, peer: Peer, now: float) -> None:
    if peer.root is None:
        # Resumed after its chain was forgotten: the context that resumed it had believed it, another must ask again.
        if peer.trust is not trust:
            raise PeerRefused("which CA it was believed for is not known any more; a new connection will show it")
    elif peer.root not in trust.anchors:
        raise PeerRefused("its CA is not trusted any more")
    if (objection := trust.objection(peer.certificate.issuer, peer.serial, now)) is not None:
        raise PeerRefused(f"the certificate does not pass: {objection}")


@functools.lru_cache(maxsize=_CACHE_SIZE)
def read_certificate(der: bytes) -> Certificate:
    """Raises `PeerRefused` for what OpenSSL took and cryptography cannot read."""
    try:
        return _parse(der)
    except (ValueError, TypeError, UnsupportedAlgorithm, OverflowError) as exc:
        raise PeerRefused(f"the certificate is malformed: {exc}") from exc


def _parse(der: bytes) -> Certificate:
    certificate = x509.load_der_x509_certificate(der)
    names = _extension(certificate, x509.SubjectAlternativeName)
    dns_names = tuple(names.get_values_for_type(x509.DNSName)) if names else ()
    addresses = tuple(str(address) for address in names.get_values_for_type(x509.IPAddress)) if names else ()
    mails = names.get_values_for_type(x509.RFC822Name) if names else ()
    uris = names.get_values_for_type(x509.UniformResourceIdentifier) if names else ()
    usage = _extension(certificate, x509.ExtendedKeyUsage)
    common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Certificate(
        common_name=str(common_names[0].value) if len(common_names) == 1 else None,
        subject=certificate.subject.rfc4514_string(),
        has_san=names is not None,
        dns_names=dns_names,
        addresses=addresses,
        sans=(*dns_names, *addresses, *mails, *uris),
        fingerprint=f"sha256:{hashlib.sha256(der).hexdigest()}",
        serial=certificate.serial_number,
        issuer=certificate.issuer.public_bytes(),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
        purposes=frozenset(purpose.dotted_string for purpose in usage) if usage is not None else None,
        anchor=anchor(certificate),
    )


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _names(certificate: Certificate) -> str:
    listed = [*certificate.dns_names, *certificate.addresses]
    if certificate.has_san:
        return ", ".join(repr(name) for name in listed) or "no host"
    return repr(certificate.common_name) if certificate.common_name is not None else "nobody"


def _date(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"
