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
    certificate: Path | None = None  # PEM (leaf first) or PKCS #12
    key: Path | None = None  # PEM, encrypted PEM or PKCS #12; by default in the certificate's file
    key_password_file: Path | None = None
    ca: tuple[Path, ...] = ()
    crl: tuple[Path, ...] = ()
    min_version: Literal["1.2", "1.3"] = "1.2"
    client_auth: Literal["required", "if_present"] = "required"  # must a client's certificate say clientAuth?


@attrs.frozen(kw_only=True)
class DeviceTls:
    """TLS towards a device. A device's own section overrides its group's, key by key."""

    mode: TlsMode = TlsMode.MUTUAL
    certificate: Path | None = None
    key: Path | None = None
    key_password_file: Path | None = None
    ca: tuple[Path, ...] = ()
    crl: tuple[Path, ...] = ()
    verify: Verify = Verify.NAME
    name: str | None = None  # by default the host of the device's address
    fingerprint: str | None = None  # "sha256:<64 hex digits>", colons between pairs allowed in the file
    min_version: Literal["1.2", "1.3"] = "1.2"


@attrs.frozen(kw_only=True)
class AdminTls:
    certificate: Path
    key: Path | None = None
    key_password_file: Path | None = None
    ca: tuple[Path, ...] = ()  # given: clients must show a certificate of it
