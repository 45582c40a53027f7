"""An fxpkcs11.cfg for a listener: a new one, or a client's own with nothing changed but what must be."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from cryptography.hazmat.primitives.serialization import Encoding

from balancer.transport.peers import PeerRefused, read_certificate
from config.chains import chain_to
from config.credentials import CredentialError, load_certificates
from config.fxpkcs11 import ClientFile, compose, parse
from config.fxpkcs11_tags import LABEL_BYTES, port_of
from config.model import GroupType, TlsMode

from .offer import Offer
from .place import old_label
from .token import USUAL_PORT

_SECTIONS = {GroupType.HSM: "HSM", GroupType.KMS: "KMS"}


class NotComposedError(Exception):
    """There is something to be said first. The text says what, for people."""


@attrs.frozen(kw_only=True)
class Client:
    """What a client shows, and how it logs in; None where it does not, or its file says so already."""

    certificate: Path | None = None
    key: Path | None = None
    password: str | None = attrs.field(default=None, repr=False)
    user: str | None = None
    label: str | None = None


def files_of(folder: Path, name: str) -> tuple[Path, Path]:
    """Certificate and key of a client as `guardian pki` leaves them, PKCS #12 first. Raises `NotComposedError`."""
    certificate = folder / f"{name}.crt"
    for key in (folder / f"{name}.p12", folder / f"{name}.key"):
        if certificate.is_file() and key.is_file():
            return certificate, key
    raise NotComposedError(
        f"{folder} has no {name}.crt with {name}.p12 or {name}.key: `guardian pki {folder} --add --client {name}` "
        "makes them, or name others with --certificate and --key"
    )


def address_of(offer: Offer) -> str:
    """Where clients reach a listener: its own address, or a name in its certificate. Raises `NotComposedError`."""
    host = offer.listener.bind.host
    try:
        if not ipaddress.ip_address(host).is_unspecified:
            return host
    except ValueError:
        return host
    for name in _names(offer):
        if name != "localhost" and not _loopback(name):
            return name
    raise NotComposedError(
        f"listener {offer.listener.name} listens on every address, and its certificate names none that clients could "
        "use: say --address HOST"
    )


def authority_of(offer: Offer) -> Path:
    """A file of the configuration with the CA of a listener's certificate. Raises `NotComposedError`."""
    leaf, *between = offer.certificate
    files = [*offer.listener.tls.ca, *(path for device in offer.group.devices for path in device.tls.ca)]
    for path in dict.fromkeys(files):
        try:
            if chain_to(leaf, between, load_certificates([path])) is not None:
                return path
        except CredentialError:
            continue
    raise NotComposedError(
        f"no file of the configuration has the CA of the certificate of listener {offer.listener.name}: say --ca FILE"
    )


def settings_for(offer: Offer, address: str, ca: Path | None, client: Client) -> Mapping[str, Sequence[str]]:
    """Tag -> values, as a token of this listener must have them; none: the tag has to go.

    ``ca``: of the listener's certificate. Raises `NotComposedError`.
    """
    listener = offer.listener
    mode = listener.tls.mode
    if listener.bind.port == 0:
        raise NotComposedError(f"listener {listener.name} has port 0: clients cannot know its port")
    if mode is not TlsMode.CLEAR and ca is None:
        raise NotComposedError("the CA of the listener's certificate is needed: say --ca FILE")
    if mode is TlsMode.MUTUAL and (client.certificate is None or client.key is None):
        raise NotComposedError(
            f"listener {listener.name} wants a client certificate (mode: mutual): say --client-name NAME for one of "
            "`guardian pki`, or --certificate and --key"
        )
    shown = mode is TlsMode.MUTUAL
    made: dict[str, Sequence[str]] = {
        "ADDRESS": [address],
        "PROD-ENABLED": ["YES"],
        "PROD-PORT": [str(listener.bind.port)],
        "PROD-TLS-ENABLED": ["NO" if mode is TlsMode.CLEAR else "YES"],
        "PROD-TLS-ANONYMOUS": ["YES" if mode is TlsMode.SERVER else "NO"],
        "PROD-TLS-CA": [str(ca)] if ca is not None and mode is not TlsMode.CLEAR else [],
        "PROD-TLS-CERT": [str(client.certificate)] if shown else [],
        "PROD-TLS-KEY": [str(client.key)] if shown else [],
        "PROD-TLS-KEY-PASS": [client.password] if shown and client.password else [],
        "FX-LOAD-BALANCE": ["YES"],
    }
    if client.user is not None:
        made["CRYPTO-OPR"] = [client.user]
    if client.label is not None:
        made["LABEL"] = [client.label]
    return made


def composed(offer: Offer, settings: Mapping[str, Sequence[str]]) -> ClientFile:
    """A new file. Raises ValueError for a value that it cannot hold."""
    head = {"SLOT": ["0"], "LABEL": [offer.group.name[:LABEL_BYTES]]}
    ordered = {**head, **{tag: settings[tag] for tag in ("LABEL", "CRYPTO-OPR") if tag in settings}, **settings}
    lines = [(tag, value) for tag, values in ordered.items() for value in values]
    file = compose([(_SECTIONS[offer.group.type], lines)])
    about = (
        f"# For the listener {offer.listener.name} of Guardian, group {offer.group.name}.\n"
        "# Applications find the token by LABEL: take the name that they look for.\n"
    )
    return parse(about + file.render())


def adapted(file: ClientFile, offer: Offer, settings: Mapping[str, Sequence[str]]) -> ClientFile:
    """The same file for this listener: its section of the listener's type gets ``settings``, the rest stays.

    Without a LABEL it gets the one that the library seems to have made of its address so far, so that applications find
    their token again. Raises `NotComposedError`, and ValueError for a value that it cannot hold.
    """
    kind = _SECTIONS[offer.group.type]
    if file.faults:
        fault = file.faults[0]
        raise NotComposedError(f"line {fault.line}: {fault.tag or 'it'} {fault.message}")
    sections = [section for section in file.sections if section.name == kind]
    if len(sections) != 1:
        raise NotComposedError(
            f"it has {len(sections) or 'no'} <{kind}> section{'s' * (len(sections) > 1)}, must have one"
        )
    [section] = sections
    wanted = dict(settings)
    before = section.get("ADDRESS")
    if "LABEL" not in wanted and section.get("LABEL") is None and before is not None:
        wanted["LABEL"] = [old_label(section, before.value, port_of(section.get("PROD-PORT"), USUAL_PORT[kind]))]
    for tag, values in wanted.items():
        if [setting.value for setting in section.all(tag)] != list(values):
            file = file.with_values(section, tag, values)
    return file


def _names(offer: Offer) -> Sequence[str]:
    if not offer.certificate:
        return ()
    try:
        shown = read_certificate(offer.certificate[0].public_bytes(Encoding.DER))
    except PeerRefused:
        return ()
    return (*shown.dns_names, *shown.addresses)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
