"""What a device knows of logins beyond any one connection: failed tries, locks, and tokens it has given out."""

from __future__ import annotations

import datetime
import enum
import os
from typing import Final

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from .identity import Directory, Identity

TOKEN_LIFE: Final = 600.0  # seconds


class LoginResult(enum.Enum):
    """What became of one login request."""

    ACCEPTED = "accepted"  # the connection has all logins it needs
    PARTIAL = "partial"  # good, and another one is needed
    CHALLENGED = "challenged"  # the first of two steps: nobody is logged in yet
    REFUSED = "refused"
    LOCKED = "locked"  # refused, whatever the password


@attrs.frozen
class LoginTry:
    user: str | None  # whom the request named, or whose token it was
    result: LoginResult


class AccountLocked(Exception):  # noqa: N818 (says what happened)
    """Too many wrong passwords in a row: not even the right one logs in until somebody unlocks the account."""


@attrs.define(eq=False)
class Accounts:
    """Each device counts for itself, and neither a count nor a lock ends with a restart; tokens do.

    ``wrong_most`` wrong passwords in a row lock an account; None is never.
    """

    directory: Directory
    wrong_most: int | None = None
    wrong: dict[str, int] = attrs.field(factory=dict, init=False)  # in a row, by the names of identities
    _tokens: dict[str, tuple[Identity, float]] = attrs.field(factory=dict, init=False)  # with the end of each

    def by_password(self, name: str, password: str) -> Identity | None:
        """Who it is, or None, which counts against the account. Raises AccountLocked."""
        if self.locked(name):
            raise AccountLocked
        identity = self.directory.by_password(name, password)
        if identity is not None:
            self.wrong.pop(name, None)
        elif self.directory.by_name(name) is not None:
            self.wrong[name] = self.wrong.get(name, 0) + 1
        return identity

    def locked(self, name: str) -> bool:
        return self.wrong_most is not None and self.wrong.get(name, 0) >= self.wrong_most

    def unlock(self, name: str) -> None:
        self.wrong.pop(name, None)

    def give_token(self, identity: Identity, now: float) -> str:
        """A token that logs `identity` in on this device for ten minutes. `now` is monotonic."""
        token = os.urandom(24).hex().upper()
        self._tokens[token] = (identity, now + TOKEN_LIFE)
        return token

    def by_given_token(self, token: str, now: float) -> Identity | None:
        identity, end = self._tokens.get(token, (None, 0.0))
        return identity if now < end else None

    def by_certificate(self, der: bytes) -> tuple[Identity, x509.Certificate] | None:
        """The identity that is the Common Name of a certificate which an authority of ours issued and which is current.

        Raises ValueError for what is no certificate.
        """
        certificate = x509.load_der_x509_certificate(der)
        now = datetime.datetime.now(datetime.UTC)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            return None
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        identity = self.directory.by_name(str(names[0].value)) if len(names) == 1 else None
        if identity is None or not any(_issued(certificate, ca) for ca in self.directory.authorities):
            return None
        return identity, certificate

    def restart(self) -> None:
        self._tokens.clear()


def _issued(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
