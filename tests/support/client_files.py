"""A throw-away estate on disk, and a client's file for it, to be spoilt one tag at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import attrs
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from config.catalogue import load_catalogue
from config.fxpkcs11 import compose
from config.loader import load
from config.model import Config
from guardian.fxpkcs11.offer import Offer, offers
from tests.support.tls import CLIENT, DAY, NOW, SERVER, Issued, authority, crl, issue

PASSWORD = "correct horse"  # of every protected key here
TOKEN: Mapping[str, Sequence[str]] = {
    "SLOT": ["0"],
    "LABEL": ["payments"],
    "ADDRESS": ["127.0.0.1"],
    "PROD-ENABLED": ["YES"],
    "PROD-PORT": ["9100"],
    "PROD-TLS-ENABLED": ["YES"],
    "PROD-TLS-ANONYMOUS": ["NO"],
    "PROD-TLS-CA": ["{pki}/ca.crt"],
    "PROD-TLS-CERT": ["{pki}/app1.crt"],
    "PROD-TLS-KEY": ["{pki}/app1.key"],
    "FX-LOAD-BALANCE": ["YES"],
}


@attrs.frozen
class Files:
    """A folder with `pki/` in it, and what it takes to write a configuration and client files beside it."""

    folder: Path
    ca: Issued

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    def client(self, changes: Mapping[str, Sequence[str]], *, section: str = "HSM", name: str = "x.cfg") -> Path:
        """A good client's file with these values of these tags instead; none: without the tag."""
        tags = {**TOKEN, **changes}
        lines = [(tag, value.format(pki=self.pki)) for tag, values in tags.items() for value in values]
        path = self.folder / name
        path.write_text(compose([(section, lines)]).render())
        return path

    def proxy(
        self, *, tls: str = "", group: str = "", kind: str = "hsm", port: int = 9100, admin: str = ""
    ) -> tuple[Config, tuple[Offer, ...]]:
        """A configuration; the texts are YAML, put at the end of the section of that name."""
        return read(self.config(tls=tls, group=group, kind=kind, port=port, admin=admin))

    def config(self, *, tls: str = "", group: str = "", kind: str = "hsm", port: int = 9100, admin: str = "") -> Path:
        path = self.folder / "guardian.yaml"
        default = "mode: mutual, certificate: pki/guardian.crt, key: pki/guardian.key, ca: [pki/ca.crt]"
        path.write_text(f"""\
listeners:
  - name: excrypt
    bind: 127.0.0.1:{port}
    group: payments
    tls: {{{tls or default}}}
groups:
  - name: payments
    type: {kind}
    tls: {{certificate: pki/guardian-client.crt, key: pki/guardian-client.key, ca: [pki/ca.crt]}}
    {group}
    devices:
      - {{name: hsm1, address: "127.0.0.1:9101", role: primary}}
{admin}
""")
        return path


def read(path: Path) -> tuple[Config, tuple[Offer, ...]]:
    loaded = load(path)
    assert loaded.config is not None, loaded.problems
    return loaded.config, offers(loaded.config, load_catalogue()[0])


def make_files(folder: Path) -> Files:
    """Good and bad certificates, named for what is wrong with them."""
    pki = folder / "pki"
    pki.mkdir(parents=True)
    ca = authority("Try CA", kind="rsa", end=NOW + 90 * DAY)
    ecc = authority("ECC CA")
    renewed = authority("Try CA", kind="rsa", number=3)
    fresh = NOW + 60 * DAY
    app = issue(ca, "app1", kind="rsa", eku=[CLIENT], end=fresh)
    for name, issued in (("ca", ca), ("ecc", ecc), ("renewed", renewed)):
        issued.write(pki, name)
    for name, issued in {
        "guardian": issue(ca, "guardian", kind="rsa", eku=[SERVER], san=["127.0.0.1", "localhost"], end=fresh),
        "guardian-client": issue(ca, "guardian-client", kind="rsa", eku=[CLIENT], end=fresh),
        "app1": app,
        "expired": issue(ca, "app1", kind="rsa", eku=[CLIENT], end=NOW - timedelta(hours=1)),
        "early": issue(ca, "app1", kind="rsa", eku=[CLIENT], start=NOW + 2 * DAY, end=fresh),
        "soon": issue(ca, "app1", kind="rsa", eku=[CLIENT], end=NOW + 3 * DAY),
        "no-purpose": issue(ca, "app1", kind="rsa", end=fresh),
        "server": issue(ca, "app1", kind="rsa", eku=[SERVER], end=fresh),
        "stranger": issue(ecc, "app1", eku=[CLIENT], end=fresh),
    }.items():
        issued.write(pki, name)
    (pki / "ca.crl").write_bytes(crl(ca))
    (pki / "revoked.crl").write_bytes(crl(ca, [app]))
    locked = BestAvailableEncryption(PASSWORD.encode())
    (pki / "locked.key").write_bytes(app.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    (pki / "pkcs1.key").write_bytes(
        app.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    old = (
        PrivateFormat.PKCS12.encryption_builder()
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(PASSWORD.encode())
    )
    (pki / "app1.p12").write_bytes(
        pkcs12.serialize_key_and_certificates(b"app1", app.key, app.certificate, [ca.certificate], old)
    )
    return Files(folder, ca)
