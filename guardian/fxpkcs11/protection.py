"""Do a token and a listener agree on TLS, and do they believe each other's certificates? Pure: read facts come in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from balancer.transport.names import matches_name
from balancer.transport.peers import Certificate, PeerRefused, read_certificate
from balancer.transport.trust import Trust
from config.chains import chain_to, tree
from config.model import TlsMode
from config.problems import Problem

from .offer import Offer
from .token import Token

_SOON = 30 * 86_400.0  # seconds
_CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string


def check_own(token: Token, now: float) -> Iterator[Problem]:
    """What can be said of a token's TLS without knowing the listener. ``now``: Unix time."""
    yield from token.problems
    section = token.section
    if not token.tls:
        return
    if not section.all("PROD-TLS-CA"):
        yield token.problem("is missing, must be the CA of the listener's certificate", "PROD-TLS-CA")
    for setting, certificates in token.authorities:
        for certificate in certificates:
            yield from _dates(token, certificate, "PROD-TLS-CA", f"CA {_name(certificate)} in {setting.value}", now)
    if token.anonymous:
        return
    for tag in ("PROD-TLS-CERT", "PROD-TLS-KEY"):
        if section.get(tag) is None:
            yield token.problem(
                "is missing, must be the client's own: PROD-TLS-ANONYMOUS is not YES, so it shows a certificate", tag
            )
    if token.shown is not None:
        for certificate in (token.shown.certificate, *token.shown.chain):
            yield from _dates(token, certificate, "PROD-TLS-CERT", f"certificate {_name(certificate)}", now)


def check_protection(token: Token, offer: Offer, now: float) -> Iterator[Problem]:
    """What of a token's TLS does not go together with this listener. ``now``: Unix time."""
    mode, name = offer.listener.tls.mode, offer.listener.name
    if not token.tls and mode is not TlsMode.CLEAR:
        yield token.problem(f"is NO, must be YES: listener {name} speaks TLS (mode: {mode.value})", "PROD-TLS-ENABLED")
        return
    if token.tls and mode is TlsMode.CLEAR:
        yield token.problem(f"is YES, must be NO: listener {name} speaks no TLS (mode: clear)", "PROD-TLS-ENABLED")
        return
    if mode is TlsMode.CLEAR:
        return
    if token.anonymous and mode is TlsMode.MUTUAL:
        yield token.problem(
            f"is YES, must be NO with PROD-TLS-CERT and PROD-TLS-KEY: listener {name} lets in nobody without a "
            "certificate (mode: mutual)",
            "PROD-TLS-ANONYMOUS",
        )
    elif not token.anonymous and mode is TlsMode.SERVER:
        yield token.problem(
            f"is NO, should be YES: listener {name} asks for no certificate (mode: server) and does not know the "
            "client by one",
            "PROD-TLS-ANONYMOUS", severity="warning",
        )  # fmt: skip
    yield from _their_certificate(token, offer)
    if mode is TlsMode.MUTUAL and token.shown is not None and offer.trust is not None:
        yield from _our_certificate(token, offer, offer.trust, now)


def identity(token: Token) -> Certificate | None:
    """Who the client is by the certificate it shows; None without one, or with one that cannot be read."""
    if token.shown is None or token.anonymous or not token.tls:
        return None
    try:
        return read_certificate(token.shown.certificate.public_bytes(Encoding.DER))
    except PeerRefused:
        return None


def authorities(token: Token) -> tuple[x509.Certificate, ...]:
    """All CAs that the client believes."""
    return tuple(certificate for _, certificates in token.authorities for certificate in certificates)


def _their_certificate(token: Token, offer: Offer) -> Iterator[Problem]:
    leaf, *between = offer.certificate
    roots = authorities(token)
    if roots and not token.unread and chain_to(leaf, between, roots) is None:
        yield token.problem(_not_signed(leaf, [*between], roots, offer.listener.name), "PROD-TLS-CA")
    try:
        shown = read_certificate(leaf.public_bytes(Encoding.DER))
    except PeerRefused:
        return
    if token.address and not matches_name(
        token.address, has_san=shown.has_san, dns_names=shown.dns_names, addresses=shown.addresses,
        common_name=shown.common_name,
    ):  # fmt: skip
        names = ", ".join((*shown.dns_names, *shown.addresses)) or shown.common_name or "nobody"
        yield token.problem(
            f"is {token.address}, and the certificate of listener {offer.listener.name} is for {names}: a library that "
            "compares names will refuse it",
            "ADDRESS", severity="warning",
        )  # fmt: skip


def _not_signed(
    leaf: x509.Certificate, between: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], listener: str
) -> str:
    top = [leaf, *between][-1]
    kinds = {tree(root) for root in roots}
    said = f"did not sign the certificate of listener {listener}, whose issuer is {_text(top.issuer)}"
    if tree(top) not in kinds:
        return (
            f"{said}: that is a tree of {tree(top)} keys, this one of {' and '.join(sorted(kinds))} keys; "
            "both sides need the same CA tree"
        )
    if any(root.subject == top.issuer for root in roots):
        return f"{said}: a CA of that name is here, but with another key; take the listener's CA as it is now"
    return f"{said}: must be that CA"


def _our_certificate(token: Token, offer: Offer, trust: Trust, now: float) -> Iterator[Problem]:
    assert token.shown is not None
    leaf, name = token.shown.certificate, offer.listener.name
    if chain_to(leaf, token.shown.chain, trust.certificates) is None:
        believed = ", ".join(_name(root) for root in trust.certificates)
        kinds = {tree(root) for root in trust.certificates}
        trees = f" (of {' and '.join(sorted(kinds))} keys, and this of {tree(leaf)})" if tree(leaf) not in kinds else ""
        yield token.problem(
            f"is signed by {_text(leaf.issuer)}, which listener {name} does not believe: only {believed}{trees}",
            "PROD-TLS-CERT", "PROD-TLS-KEY",
        )  # fmt: skip
    objection = trust.objection(leaf.issuer.public_bytes(), leaf.serial_number, now)
    if objection is not None:
        yield token.problem(f"will be refused by listener {name}: {objection}", "PROD-TLS-CERT", "PROD-TLS-KEY")
    who = identity(token)
    if who is None:
        return
    if who.purposes is None:
        if offer.listener.tls.client_auth == "required":
            yield token.problem(
                f"has no extendedKeyUsage, must say clientAuth: listener {name} has client_auth: required "
                "(if_present would let it in)",
                "PROD-TLS-CERT", "PROD-TLS-KEY",
            )  # fmt: skip
    elif _CLIENT_AUTH not in who.purposes:
        yield token.problem(
            "has an extendedKeyUsage without clientAuth, must have it: this is no client's certificate",
            "PROD-TLS-CERT", "PROD-TLS-KEY",
        )  # fmt: skip


def _dates(token: Token, certificate: x509.Certificate, tag: str, what: str, now: float) -> Iterator[Problem]:
    starts, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    if ends <= now:
        yield token.problem(f"has expired: {what} ended on {_day(ends)}, must be renewed", tag, "PROD-TLS-KEY")
    elif starts > now:
        yield token.problem(f"is not valid yet: {what} begins on {_day(starts)}", tag, "PROD-TLS-KEY")
    elif ends - now < _SOON:
        yield token.problem(
            f"ends soon: {what} ends on {_day(ends)}, renew it", tag, "PROD-TLS-KEY", severity="warning"
        )


def _name(certificate: x509.Certificate) -> str:
    return _text(certificate.subject)


def _text(name: x509.Name) -> str:
    return name.rfc4514_string() or "without a name"


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"
