"""Identities and roles of an emulated device from a YAML file.

::

    roles:
      signer: [ECHO, RSAS]        # "*" permits everything; `application` permits everything unless said otherwise
    identities:
      - {name: crypto1, password_file: crypto1.password, role: signer}
      - {name: vault-1}           # without a password: by client certificate only
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from .identity import Directory, Identity, Role

_ROLE: Final = Role(name="application")


def only_user(name: str, password_file: Path | None) -> Directory:
    """A directory of one. Without a file only a client certificate logs in. Raises OSError."""
    return Directory(identities=(Identity(name=name, password=_secret(password_file)),))


def read_users(file: Path) -> Directory:
    """Raises OSError, and ValueError that says what is wrong, never a password."""
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ValueError("not YAML") from None
    if not isinstance(document, Mapping) or not set(document) <= {"roles", "identities"}:
        raise ValueError("must have the keys 'roles' and 'identities', no others")
    roles = {_ROLE.name: _ROLE}
    for name, functions in _mapping(document.get("roles"), "roles").items():
        roles[str(name)] = _role(str(name), functions)
    identities = document.get("identities") or []
    if not isinstance(identities, list) or not identities:
        raise ValueError("identities must be a list of {name, password_file, role}")
    return Directory(
        identities=tuple(_identity(entry, roles, file.parent) for entry in identities), roles=tuple(roles.values())
    )


def _role(name: str, functions: Any) -> Role:
    if not isinstance(functions, list) or not all(isinstance(code, str) for code in functions):
        raise ValueError(f"roles.{name} must be a list of functions")
    return Role(name=name, functions=None if "*" in functions else frozenset(functions))


def _identity(entry: Any, roles: Mapping[str, Role], folder: Path) -> Identity:
    known = {"name", "password_file", "token_file", "role"}
    if not isinstance(entry, Mapping) or "name" not in entry or not set(entry) <= known:
        raise ValueError(f"an identity has a name, and of {', '.join(sorted(known - {'name'}))} what it needs")
    name, role = str(entry["name"]), str(entry.get("role", _ROLE.name))
    if role not in roles:
        raise ValueError(f"identity {name}: no role '{role}'; there are {', '.join(roles)}")
    token = folder / str(entry["token_file"]) if "token_file" in entry else None
    password = folder / str(entry["password_file"]) if "password_file" in entry else None
    return Identity(name=name, password=_secret(password), role=role, token=_secret(token) if token else None)


def _mapping(value: Any, where: str) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a mapping")  # noqa: TRY004 (of a file's content)
    return value


def _secret(file: Path | None) -> str:
    """The file's first line; without a file something nobody can guess."""
    if file is None:
        return secrets.token_hex(32)
    lines = file.read_text(encoding="utf-8").splitlines()
    if not lines or not lines[0]:
        raise ValueError(f"{file}: the first line must be the secret")
    return lines[0]
