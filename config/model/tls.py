"""How connections are protected, towards clients, devices and operators."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Literal

import attrs


class TlsMode(enum.Enum):
    """How a connection is protected; in brackets what a Guardian Series 3 calls it."""

    MUTUAL = "mutual"  # both sides show a certificate (SSL)
    SERVER = "server"  # only the server does (Anonymous TLS)
    CLEAR = "clear"  # no TLS (Clear)


class Verify(enum.Enum):
    """What of a device's certificate is checked beyond its chain."""

    NAME = "name"  # SAN, or Common Name where there is no SAN, equals the expected name
    FINGERPRINT = "fingerprint"  # SHA-256 of the whole certificate
    CA = "ca"  # nothing more: any server certificate of the CA


@attrs.frozen(kw_only=True)
class ListenerTls:
    mode: TlsMode = TlsMode.MUTUAL
    """both sides show a certificate; only Guardian does; no TLS"""
    certificate: Path | None = None
    """PEM (own certificate first), DER or PKCS #12"""
    key: Path | None = None
    """PEM, encrypted PEM, DER or PKCS #12; by default it is in the certificate's file"""
    key_password_file: Path | None = None
    """a file with the password of the key, on one line"""
    ca: tuple[Path, ...] = ()
    """the CAs of client certificates"""
    crl: tuple[Path, ...] = ()
    """revocation lists, PEM or DER; one past its next update refuses everyone"""
    min_version: Literal["1.2", "1.3"] = "1.2"
    """the oldest TLS version"""
    client_auth: Literal["required", "if_present"] = "required"
    """whether a client's certificate must say clientAuth, or only must not say otherwise"""


@attrs.frozen(kw_only=True)
class DeviceTls:
    """TLS towards a device. A device's own section overrides its group's, key by key."""

    mode: TlsMode = TlsMode.MUTUAL
    """both sides show a certificate; only the device does; no TLS"""
    certificate: Path | None = None
    """PEM (own certificate first), DER or PKCS #12"""
    key: Path | None = None
    """PEM, encrypted PEM, DER or PKCS #12; by default it is in the certificate's file"""
    key_password_file: Path | None = None
    """a file with the password of the key, on one line"""
    ca: tuple[Path, ...] = ()
    """the CAs of device certificates"""
    crl: tuple[Path, ...] = ()
    """revocation lists, PEM or DER; one past its next update refuses everyone"""
    verify: Verify = Verify.NAME
    """what is checked beyond the chain: the name, the fingerprint, or nothing more"""
    name: str | None = None
    """the name in the device's certificate, as SAN or, without a SAN, as Common Name; by default the host of its
    address
    """
    fingerprint: str | None = None
    """SHA-256 of the device's certificate, `sha256:` and 64 hex digits, colons between pairs allowed"""
    min_version: Literal["1.2", "1.3"] = "1.2"
    """the oldest TLS version"""


@attrs.frozen(kw_only=True)
class AdminTls:
    certificate: Path
    """PEM or PKCS #12"""
    key: Path | None = None
    """PEM, encrypted PEM, DER or PKCS #12; by default it is in the certificate's file"""
    key_password_file: Path | None = None
    """a file with the password of the key, on one line"""
    ca: tuple[Path, ...] = ()
    """given: clients must show a certificate of these CAs"""
    crl: tuple[Path, ...] = ()
    """revocation lists, PEM or DER; one past its next update refuses everyone"""
