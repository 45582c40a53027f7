"""One <HSM> or <KMS> section: what it says, and what the files that it names hold. The one place that reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509

from config.credentials import CredentialError, Credentials, Words, load_certificates, unlock_credentials
from config.fxpkcs11 import Section, Setting
from config.fxpkcs11_tags import port_of, switched_on
from config.problems import Problem, Severity, one_line

USUAL_PORT: Final = {"HSM": 9100, "KMS": 2001}
_OF_A_CLIENT: Final = Words(
    key="name the file of the key with PROD-TLS-KEY", unlock="say its password with PROD-TLS-KEY-PASS"
)
_OF_WINDOWS: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")


@attrs.frozen(kw_only=True)
class Token:
    """``authorities``: each PROD-TLS-CA that could be read. ``shown``: what the client shows of itself."""

    file: str
    section: Section
    authorities: tuple[tuple[Setting, tuple[x509.Certificate, ...]], ...] = ()
    shown: Credentials | None = None
    unread: bool = False  # some file could not be looked at, so that what it would show is not known
    problems: tuple[Problem, ...] = ()  # what reading the files found

    @property
    def address(self) -> str:
        return self._text("ADDRESS")

    @property
    def port(self) -> int:
        return port_of(self.section.get("PROD-PORT"), USUAL_PORT[self.section.name])

    @property
    def tls(self) -> bool:
        return switched_on(self.section.get("PROD-TLS-ENABLED"), default=True)

    @property
    def anonymous(self) -> bool:
        return switched_on(self.section.get("PROD-TLS-ANONYMOUS"), default=False)

    def at(self, *tags: str) -> tuple[int, str]:
        """Line and tag of the first of these that is there; else the section's line, and the first tag."""
        for tag in tags:
            setting = self.section.get(tag)
            if setting is not None:
                return setting.line, tag
        return self.section.line, tags[0]

    def problem(self, message: str, *tags: str, severity: Severity = "error") -> Problem:
        line, tag = self.at(*tags)
        return Problem(file=self.file, line=line, path=tag, message=one_line(message), severity=severity)

    def _text(self, tag: str) -> str:
        setting = self.section.get(tag)
        return setting.value if setting is not None else ""


def read_token(file: str, section: Section) -> Token:
    """Read every file that the section names and uses. What is wrong with them is in ``problems``; never raises."""
    token = Token(file=file, section=section)
    if not token.tls:
        return token
    problems: list[Problem] = []
    authorities = []
    unread = False
    for setting in section.all("PROD-TLS-CA"):
        found = _looked_at(token, setting, problems)
        unread = unread or found is None
        if found is not None:
            try:
                authorities.append((setting, load_certificates([found])))
            except CredentialError as exc:
                unread = True
                problems.append(_at(token, setting, str(exc)))
    shown = None
    if not token.anonymous:
        shown, blind = _read_shown(token, problems)
        unread = unread or blind
    return attrs.evolve(token, authorities=tuple(authorities), shown=shown, unread=unread, problems=tuple(problems))


def _read_shown(token: Token, problems: list[Problem]) -> tuple[Credentials | None, bool]:
    """What the client shows; and whether a file of it could not be read."""
    certificate, key = token.section.get("PROD-TLS-CERT"), token.section.get("PROD-TLS-KEY")
    named = [setting for setting in (certificate, key) if setting is not None and setting.value]
    paths = {setting.tag: _looked_at(token, setting, problems) for setting in named}
    if None in paths.values():
        return None, True
    # PKCS #12 holds a certificate too; whether the library takes it from there is not known, so a missing tag is told.
    source = paths.get("PROD-TLS-CERT") or paths.get("PROD-TLS-KEY")
    if source is None:
        return None, False
    password = token.section.get("PROD-TLS-KEY-PASS")
    secret = password.value.encode("utf-8", "surrogateescape") if password is not None else None
    try:
        return unlock_credentials(source, paths.get("PROD-TLS-KEY"), secret, _OF_A_CLIENT), False
    except CredentialError as exc:
        blamed = "PROD-TLS-KEY" if str(exc).startswith(f"{paths.get('PROD-TLS-KEY')}:") else "PROD-TLS-CERT"
        if blamed == "PROD-TLS-KEY" and "password" in str(exc) and password is not None:
            blamed = "PROD-TLS-KEY-PASS"
        problems.append(token.problem(str(exc), blamed, "PROD-TLS-KEY", "PROD-TLS-CERT"))
        return None, True


def _looked_at(token: Token, setting: Setting, problems: list[Problem]) -> Path | None:
    """The path where it can be read here; else why not is told."""
    for severity, message in _obstacles(setting.value):
        problems.append(_at(token, setting, message, severity))
        return None
    path = Path(setting.value)
    if not path.is_absolute():
        message = f"names {path}, which is looked for where the application runs: write the whole path"
        problems.append(_at(token, setting, message, "warning"))
    return path


def _obstacles(value: str) -> Iterator[tuple[Severity, str]]:
    if _OF_WINDOWS.match(value):
        yield "warning", f"names {value}, a file of a Windows machine: check it there"
        return
    try:
        path = Path(value)
        if not path.exists():
            yield "error", f"names {path}, which does not exist here, must be a file that the application can read"
        elif not path.is_file():
            yield "error", f"names {path}, which is no regular file"
        else:
            with path.open("rb") as file:
                file.read(1)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "no file can have that name"
        yield "error", f"names {one_line(value)}, which cannot be read ({reason})"


def _at(token: Token, setting: Setting, message: str, severity: Severity = "error") -> Problem:
    return Problem(file=token.file, line=setting.line, path=setting.tag, message=one_line(message), severity=severity)
