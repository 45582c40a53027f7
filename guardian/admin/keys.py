"""What the admin port reads of files, all at once: at start and at each reload."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from config.credentials import CredentialError
from config.model import Admin, AdminRole

from .access import Token
from .message import Role
from .tls import AdminSide

ROLES: Final = {AdminRole.VIEW: Role.VIEW, AdminRole.OPERATE: Role.OPERATE}
_OPERATOR: Final = "operator"  # who the token of `token_file` is
_LONGEST: Final = 4096  # bytes of a token; it has to fit into a header


@attrs.frozen(kw_only=True, eq=False)
class Keys:
    tokens: tuple[Token, ...]
    side: AdminSide | None  # None: without TLS
    mutual: bool  # clients show a certificate


def read_keys(admin: Admin) -> Keys:
    """Blocks. Raises CredentialError for a file that cannot be used."""
    files = [(_OPERATOR, Role.OPERATE, admin.token_file)] if admin.token_file is not None else []
    files += [(token.name, ROLES[token.role], token.file) for token in admin.tokens]
    tokens: list[Token] = []
    for name, role, file in files:
        secret = _read_token(file)
        if any(secret == other.secret for other in tokens):
            raise CredentialError(f"{file}: holds the token of another name; each needs its own")
        tokens.append(Token(name=name, role=role, secret=secret))
    return Keys(
        tokens=tuple(tokens),
        side=None if admin.tls is None else AdminSide(admin.tls),
        mutual=admin.tls is not None and bool(admin.tls.ca),
    )


def _read_token(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            token = opened.read(_LONGEST + 1).strip()
    except OSError as exc:
        raise CredentialError(f"{file}: cannot be read: {exc.strerror}") from exc
    if not token:
        raise CredentialError(f"{file}: the admin token is empty")
    if len(token) > _LONGEST or b"\n" in token:
        raise CredentialError(f"{file}: must hold one token on one line, of at most {_LONGEST} bytes")
    return token
