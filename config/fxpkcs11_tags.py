"""The tags of fxpkcs11.cfg that the vendor's guides and public examples name, and what their values look like. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

import attrs

from .fxpkcs11 import ClientFile, Section, Setting
from .problems import WHOLE_FILE, Problem, Severity, one_line

SECTIONS: Final = ("HSM", "KMS", "CONFIG")
TOKENS: Final = ("HSM", "KMS")  # each of them is a PKCS #11 token
LABEL_BYTES: Final = 32  # a PKCS #11 token label has that many
# What PKCS #11 lets a key be used for.
_USAGES: Final = frozenset(
    ("ENCRYPT", "DECRYPT", "SIGN", "VERIFY", "WRAP", "UNWRAP", "DERIVE", "SIGN_RECOVER", "VERIFY_RECOVER")
)


class Form(enum.Enum):
    TEXT = "text"
    SECRET = "secret"  # noqa: S105 - it is not one
    FILE = "file"
    YES_NO = "yes or no"
    NUMBER = "number"
    PORT = "port"
    USAGES = "usages"


@attrs.frozen
class Known:
    """``sections``: where the guides have it."""

    form: Form
    sections: tuple[str, ...] = TOKENS
    repeats: bool = False


TAGS: Final[Mapping[str, Known]] = {
    "SLOT": Known(Form.NUMBER),
    "LABEL": Known(Form.TEXT),
    "CRYPTO-OPR": Known(Form.TEXT),
    "CRYPTO-OPR-PASS": Known(Form.SECRET),
    "KEYGROUP-NAME": Known(Form.TEXT, ("KMS",)),
    "ADDRESS": Known(Form.TEXT),
    "PROD-ENABLED": Known(Form.YES_NO),
    "PROD-PORT": Known(Form.PORT),
    "PROD-TLS-ENABLED": Known(Form.YES_NO),
    "PROD-TLS-ANONYMOUS": Known(Form.YES_NO),
    "PROD-TLS-CA": Known(Form.FILE, repeats=True),
    "PROD-TLS-CERT": Known(Form.FILE),
    "PROD-TLS-KEY": Known(Form.FILE),
    "PROD-TLS-KEY-PASS": Known(Form.SECRET),
    "FX-LOAD-BALANCE": Known(Form.YES_NO),
    "LOG-FILE": Known(Form.FILE, ("HSM",)),
    "FORCED-LABEL-USAGE": Known(Form.USAGES, ("CONFIG",), repeats=True),
    "REQUIRE-LOGIN-FLAG": Known(Form.YES_NO, ("CONFIG",)),
}


def check_form(name: str, file: ClientFile) -> tuple[Problem, ...]:
    """What is wrong with a file called ``name`` by itself, whatever it is used with. Never has a secret in it."""
    found = [_problem(name, fault.line, fault.tag or WHOLE_FILE, fault.message) for fault in file.faults]
    for section in file.sections:
        found += _check_section(name, section)
    tokens = [section for section in file.sections if section.name in TOKENS]
    if not tokens:
        found.append(_problem(name, 1, WHOLE_FILE, "has neither <HSM> nor <KMS>: it names nothing to connect to"))
    slots: dict[str, int] = {}
    for token in tokens:
        slot = token.get("SLOT")
        number = slot.value if slot is not None else "0"
        if number in slots:
            at = slot.line if slot is not None else token.line
            taken = f"is {number} as in the section of line {slots[number]}, must be another: one token, one slot"
            found.append(_problem(name, at, "SLOT", taken))
        slots.setdefault(number, token.line)
    return tuple(found)


def switched_on(setting: Setting | None, default: bool) -> bool:
    """What a YES or NO says; ``default`` where there is none, or it is neither."""
    word = setting.value.upper() if setting is not None else ""
    return {"YES": True, "NO": False}.get(word, default)


def port_of(setting: Setting | None, default: int) -> int:
    """The port; ``default`` where there is none, or it is no port."""
    text = setting.value if setting is not None else ""
    return int(text) if _is_number(text) and 0 < int(text) < 65536 else default


def _check_section(name: str, section: Section) -> Iterator[Problem]:
    if section.name not in SECTIONS:
        yield _problem(name, section.line, section.name, f"is no section, must be {_near(section.name, SECTIONS)}")
        return
    seen: dict[str, int] = {}
    for setting in section.settings:
        known = TAGS.get(setting.tag)
        if known is None:
            yield _problem(name, setting.line, setting.tag, f"is no tag that is known{_meant(setting.tag)}", "warning")
            continue
        if section.name not in known.sections:
            places = " or ".join(f"<{place}>" for place in known.sections)
            message = f"stands in <{section.name}>, the vendor's guides have it in {places}"
            yield _problem(name, setting.line, setting.tag, message, "warning")
        if setting.tag in seen and not known.repeats:
            message = f"is given on line {seen[setting.tag]} too, must be given once: which one counts is not known"
            yield _problem(name, setting.line, setting.tag, message)
        seen.setdefault(setting.tag, setting.line)
        for severity, message in _check_value(setting, known.form):
            yield _problem(name, setting.line, setting.tag, message, severity)


def _check_value(setting: Setting, form: Form) -> Iterator[tuple[Severity, str]]:
    value = setting.value
    if form is Form.YES_NO and value not in ("YES", "NO"):
        if value.upper() in ("YES", "NO"):
            yield "warning", "is not in capitals, should be YES or NO as in the vendor's guides"
        else:
            yield "error", "is neither YES nor NO"
    elif form is Form.NUMBER and not _is_number(value):
        yield "error", "is no number, must be one such as 0"
    elif form is Form.PORT and not (_is_number(value) and 0 < int(value) < 65536):
        yield "error", "is no port, must be a number from 1 to 65535"
    elif form is Form.USAGES:
        yield from _check_usages(value)
    elif form is not Form.SECRET and not value:
        yield "error", "is empty"
    if setting.tag == "LABEL" and len(value.encode("utf-8", "surrogateescape")) > LABEL_BYTES:
        yield "error", f"is longer than the {LABEL_BYTES} bytes of a PKCS #11 token label"


def _check_usages(value: str) -> Iterator[tuple[Severity, str]]:
    label, equals, listed = value.rpartition("=")  # a label may have one too
    if not equals or not label.strip():
        yield "error", "must be a key label and its usages, such as: my_key = ENCRYPT | DECRYPT"
        return
    words = [word.strip() for word in listed.split("|")]
    strange = [word for word in words if word not in _USAGES]
    if strange:
        named = ", ".join(f"'{word}'" for word in strange)
        yield "warning", f"has the usage {named}, which PKCS #11 does not know; there are {', '.join(sorted(_USAGES))}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _meant(tag: str) -> str:
    near = get_close_matches(tag.upper(), TAGS, n=1)
    return f", did you mean {near[0]}?" if near else ", it is kept as it is"


def _near(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name.upper(), known, n=1)
    return f"<{near[0]}>" if near else " or ".join(f"<{each}>" for each in known)


def _problem(file: str, line: int, tag: str, message: str, severity: Severity = "error") -> Problem:
    return Problem(file=file, line=line, path=one_line(tag), message=one_line(message), severity=severity)
