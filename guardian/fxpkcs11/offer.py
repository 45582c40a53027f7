"""What a listener is to its clients: where it is, what it shows, whom it believes, what it lets through."""

from __future__ import annotations

from pathlib import Path

import attrs
from cryptography import x509

from balancer.command import CommandTable
from balancer.transport.trust import Trust, load_trust
from config.catalogue import Catalogue
from config.credentials import CredentialError, load_certificates, load_credentials
from config.model import Config, Group, Listener, ListenerTls, TlsMode
from guardian.functions import GroupRules


@attrs.frozen(kw_only=True)
class Offer:
    listener: Listener
    group: Group
    rules: GroupRules
    catalogue: Catalogue
    certificate: tuple[x509.Certificate, ...] = ()  # the leaf, and the chain that is sent with it
    trust: Trust | None = None  # None where clients show no certificate


def offers(config: Config, catalogue: Catalogue) -> tuple[Offer, ...]:
    """Of each listener, with its files read. Raises `CredentialError`."""
    made = []
    for listener in config.listeners:
        group = config.group(listener.group)
        tls = listener.tls
        shown: tuple[x509.Certificate, ...] = ()
        if tls.mode is not TlsMode.CLEAR:
            certificate: Path | None = tls.certificate
            assert certificate is not None, "the loader has seen to it"
            shown = _chain(certificate, tls)
        made.append(
            Offer(
                listener=listener,
                group=group,
                rules=GroupRules(group, catalogue, CommandTable(catalogue, (1.0,))),
                catalogue=catalogue,
                certificate=shown,
                trust=load_trust(tls.ca, tls.crl) if tls.mode is TlsMode.MUTUAL else None,
            )
        )
    return tuple(made)


def _chain(certificate: Path, tls: ListenerTls) -> tuple[x509.Certificate, ...]:
    """What the listener shows. Its key is not needed but where both are in one PKCS #12 file."""
    try:
        return load_certificates([certificate])
    except CredentialError:
        credentials = load_credentials(certificate, tls.key, tls.key_password_file)
        return (credentials.certificate, *credentials.chain)
