"""Who may do what on a device: identities, and roles with the functions they permit."""

from __future__ import annotations

from hmac import compare_digest
from typing import Final

import attrs
from cryptography import x509

LOGIN: Final = "RKLG"

# Open before login; the guides' Transaction Processing role. RKLG stands with it, or nobody could ever log in.
TRANSACTION_PROCESSING: Final = frozenset(
    {"ECHO", "PRMD", "RAND", "HASH", "GPKM", "GPKS", "GPKR", "STAT", "TIME", "ASYS", LOGIN}
)


@attrs.frozen(kw_only=True)
class Role:
    """A named set of functions. `functions` None permits everything."""

    name: str
    functions: frozenset[str] | None = None

    def permits(self, code: str) -> bool:
        return self.functions is None or code in self.functions


@attrs.frozen(kw_only=True)
class Identity:
    name: str
    password: str = attrs.field(repr=False)
    role: str = "application"
    token: str | None = attrs.field(default=None, repr=False)  # an API token that also logs in


@attrs.frozen(kw_only=True)
class Directory:
    """The identities and roles that all devices of a group share.

    `anonymous` is the role of a connection without a login: Transaction Processing on a real device. `authorities`
    issue the certificates of the login in two steps.
    """

    identities: tuple[Identity, ...] = ()
    roles: tuple[Role, ...] = (Role(name="application"),)
    anonymous: Role = Role(name="transaction processing", functions=TRANSACTION_PROCESSING)
    authorities: tuple[x509.Certificate, ...] = ()

    def by_password(self, name: str, password: str) -> Identity | None:
        for identity in self.identities:
            if identity.name == name and compare_digest(identity.password.encode(), password.encode()):
                return identity
        return None

    def by_token(self, token: str) -> Identity | None:
        for identity in self.identities:
            if identity.token is not None and compare_digest(identity.token.encode(), token.encode()):
                return identity
        return None

    def by_name(self, name: str) -> Identity | None:
        """For a client certificate whose Common Name is a user: it replaces the login."""
        return next((identity for identity in self.identities if identity.name == name), None)

    def role_of(self, identity: Identity) -> Role:
        """Raises KeyError for a role that does not exist."""
        for role in self.roles:
            if role.name == identity.role:
                return role
        raise KeyError(identity.role)

    def open_to_all(self) -> Directory:
        """The same, with everything permitted before login."""
        return attrs.evolve(self, anonymous=Role(name="everybody"))


DEFAULT_DIRECTORY: Final = Directory(
    identities=(
        Identity(name="crypto1", password="safest1", token="token-of-crypto1"),  # noqa: S106 (emulated)
        Identity(name="crypto2", password="safest2"),  # noqa: S106 (emulated)
    )
)
