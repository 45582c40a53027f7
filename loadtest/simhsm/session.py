"""One connection's standing with its device: who it is, for how long, and which parts of a request it has sent."""

from __future__ import annotations

from typing import Any

import attrs

from .accounts import LoginTry
from .identity import LOGIN, Directory, Identity, Role


@attrs.frozen(kw_only=True)
class SessionLimits:
    """What ends a login. None is unlimited. A FIPS policy may set about 60 s, 900 s and 7,500 requests."""

    idle: float | None = None  # seconds without a request
    age: float | None = None  # seconds since the login
    requests: int | None = None

    @property
    def any(self) -> bool:
        return (self.idle, self.age, self.requests) != (None, None, None)


@attrs.define(eq=False)
class Session:
    """Begins anonymous, unless the client's certificate names an identity.

    A login that a limit has ended leaves the connection anonymous; a certificate stands for as long as the connection.
    """

    directory: Directory
    logins_required: int = 1
    limits: SessionLimits = SessionLimits()
    certified: Identity | None = None
    parts: dict[str, Any] = attrs.field(factory=dict)  # what waits for its next part, by CH value
    role: Role = attrs.field(init=False)
    expired: bool = attrs.field(default=False, init=False)  # a limit ended the last login, and none has come since
    tried: LoginTry | None = attrs.field(default=None, init=False)  # what the request in work did, if it was a login
    _logins: list[Identity] = attrs.field(factory=list, init=False)
    _began: float = attrs.field(default=0.0, init=False)
    _used: float = attrs.field(default=0.0, init=False)
    _requests: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._decide()

    @property
    def identity(self) -> str | None:
        """The name of who is logged in, as soon as all logins are there."""
        if self.missing:
            return None
        return (self._logins[0] if self._logins else self.certified).name  # type: ignore[union-attr]

    @property
    def users(self) -> tuple[str, ...]:
        """Everybody this connection has been proved to be, also while logins are missing; empty when anonymous."""
        certified = (self.certified.name,) if self.certified is not None else ()
        return certified + tuple(identity.name for identity in self._logins)

    @property
    def missing(self) -> int:
        """How many logins are still needed."""
        if self.certified is not None:
            return 0
        return max(0, self.logins_required - len(self._logins))

    def permits(self, code: str) -> bool:
        return code == LOGIN or self.role.permits(code)

    def log_in(self, identity: Identity, now: float) -> None:
        """Add a login; one that comes when none is missing begins anew. The same identity counts once."""
        if not self.missing:
            self._logins.clear()
        if identity not in self._logins:
            self._logins.append(identity)
        self._began = self._used = now
        self._requests = 0
        self.expired = False
        self._decide()

    def log_out(self) -> None:
        self._logins.clear()
        self.parts.clear()
        self._decide()

    def touch(self, now: float) -> None:
        """A request came: end the login if a limit says so. Call once per request, before `permits`."""
        if not self._logins or not self.limits.any:
            return
        limits = self.limits
        self._requests += 1
        if (
            (limits.idle is not None and now - self._used > limits.idle)
            or (limits.age is not None and now - self._began > limits.age)
            or (limits.requests is not None and self._requests > limits.requests)
        ):
            self.log_out()
            self.expired = True
        self._used = now

    def _decide(self) -> None:
        if self._logins and not self.missing:
            self.role = self.directory.role_of(self._logins[0])
        elif self.certified is not None:
            self.role = self.directory.role_of(self.certified)
        else:
            self.role = self.directory.anonymous
