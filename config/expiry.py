"""When the files of a TLS configuration end, so that somebody renews them in time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cryptography import x509

from .credentials import load_certificates, load_credentials, load_crls
from .model import AdminTls, Config, DeviceTls, ListenerTls, TlsMode


def expiries(tls: ListenerTls | DeviceTls | AdminTls) -> Mapping[str, float]:
    """File -> Unix time at which the first certificate in it ends, or its revocation list is due to be replaced.

    Only files that this configuration uses. A list that never ends is left out. Raises `CredentialError`.
    """
    mode = TlsMode.MUTUAL if isinstance(tls, AdminTls) else tls.mode
    found: dict[str, float] = {}
    if mode is TlsMode.CLEAR:
        return found
    shown = mode is TlsMode.MUTUAL or not isinstance(tls, DeviceTls)
    if shown and tls.certificate is not None:
        credentials = load_credentials(tls.certificate, tls.key, tls.key_password_file)
        found[str(tls.certificate)] = _first((credentials.certificate, *credentials.chain))
    if mode is TlsMode.SERVER and isinstance(tls, ListenerTls):
        return found
    for path in tls.ca:
        found[str(path)] = _first(load_certificates([path]))
    for path in tls.crl:
        ends = [crl.next_update_utc for crl in load_crls([path])]
        known = [end.timestamp() for end in ends if end is not None]
        if known:
            found[str(path)] = min(known)
    return found


def revocation_lists(config: Config) -> frozenset[str]:
    """The files among them that are revocation lists: these end much sooner, and then nobody gets in."""
    of_listeners = (path for listener in config.listeners for path in listener.tls.crl)
    of_devices = (path for group in config.groups for device in group.devices for path in device.tls.crl)
    return frozenset(map(str, (*of_listeners, *of_devices)))


def _first(certificates: Iterable[x509.Certificate]) -> float:
    return min(certificate.not_valid_after_utc.timestamp() for certificate in certificates)
