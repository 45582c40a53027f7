"""One scalar of the file to one value of the model, strictly: `"9100"` is no number and 1500.7 no whole number.

The type that a key has decides what its text means, so that text stays text: a name may be `no` or `0755`.
"""

from __future__ import annotations

import enum
import operator
import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from cattrs import Converter
from msgspec import Meta

from . import units
from .model import Bind, UnixBind
from .yaml_source import Scalar, shown

# Bounded, because int() refuses more than some thousand digits and float() would give infinity.
_WHOLE: Final = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?", re.ASCII)


class WrongValueError(Exception):
    """A value that cannot be used; the text says what is wrong and what would be right."""


def nearest(given: str, known: list[str]) -> str:
    """`; did you mean 'x'?` where something known is near, else which there are."""
    near = get_close_matches(given.lower(), known, n=1, cutoff=0.6) or get_close_matches(given, known, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"possible: {', '.join(known)}"


def read_value(scalar: Scalar, hint: Any, folder: Path) -> Any:
    """The value, of exactly the hinted type; relative paths are relative to ``folder``. Raises `WrongValueError`."""
    if scalar.null:
        raise WrongValueError(f"is empty, must be {expected(hint)}: give it, or leave the key out")
    if hint is Path:
        return _path(scalar, folder)
    if hint == _ANY_BIND:
        return _any_bind(scalar, folder)
    if get_origin(hint) in (Union, UnionType):
        return _number_or_word(scalar, *get_args(hint))
    return _CONVERTER.structure(scalar, hint)


def expected(hint: Any) -> str:
    """What a key takes, in words."""
    unit = _unit(hint)
    forms = {"duration": units.DURATION_FORM, "size": units.SIZE_FORM, "rate": units.RATE_FORM}
    if unit in forms:
        return forms[unit]
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(base) is Literal:
        return "one of " + ", ".join(str(value) for value in get_args(base))
    if get_origin(base) in (Union, UnionType) and base != _ANY_BIND:
        number, word = get_args(base)
        return f"{expected(number)}, or {get_args(word)[0]}"
    if isinstance(base, type) and issubclass(base, enum.Enum):
        return "one of " + ", ".join(str(member.value) for member in base)
    return _WORDS.get(base, "a value")


_ANY_BIND: Final[Any] = Bind | UnixBind
_LONGEST_UNIX: Final = 107  # bytes of a socket's path that Linux takes
_WORDS: Final[dict[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "the path of a file",
    Bind: units.BIND_FORM,
    _ANY_BIND: f"{units.BIND_FORM}, or unix: and a path, such as unix:/run/guardian/admin.sock",
}


def _unit(hint: Any) -> str | None:
    return next((meta.extra["unit"] for meta in _metas(hint) if meta.extra and "unit" in meta.extra), None)


def _origin(hint: Any) -> Any:
    return get_origin(hint)


def _metas(hint: Any) -> list[Meta]:
    if get_origin(hint) is not Annotated:
        return []
    return [meta for meta in get_args(hint)[1:] if isinstance(meta, Meta)]


def _annotated(hint: Any) -> Callable[[Scalar, Any], Any]:
    base, unit, metas = get_args(hint)[0], _unit(hint), _metas(hint)

    def read(scalar: Scalar, _: Any) -> Any:
        if unit == "duration":
            value = _parsed(scalar, units.parse_duration)
        elif unit == "size":
            value = _parsed(scalar, units.parse_size)
        elif unit == "rate":
            value = _parsed(scalar, units.parse_rate)
        else:
            value = _CONVERTER.structure(scalar, base)
        for meta in metas:
            _check(value, meta, scalar, unit)
        return value

    return read


def _check(value: Any, meta: Meta, scalar: Scalar, unit: str | None) -> None:
    write: Callable[[Any], str] = {"duration": units.format_duration, "rate": units.format_rate}.get(unit or "", str)
    for bound, holds, words in (
        (meta.gt, operator.gt, "more than"),
        (meta.ge, operator.ge, "at least"),
        (meta.lt, operator.lt, "less than"),
        (meta.le, operator.le, "at most"),
    ):
        if bound is not None and not holds(value, bound):
            raise WrongValueError(f"is {scalar.shown}, must be {words} {write(bound)}")
    if meta.pattern is not None and not re.fullmatch(meta.pattern, value):
        raise WrongValueError(
            f"is {shown(scalar.shown)}, must be {meta.description or f'text that matches {meta.pattern}'}"
        )


def _parsed(scalar: Scalar, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(scalar.text)
    except ValueError as exc:
        raise WrongValueError(f"is {shown(scalar.shown)}: {exc}") from exc


def _bool(scalar: Scalar, _: Any) -> bool:
    if scalar.bare and scalar.text in ("true", "false"):
        return scalar.text == "true"
    raise WrongValueError(f"is {shown(scalar.shown)}, must be true or false{_unquoted(scalar)}")


def _int(scalar: Scalar, _: Any) -> int:
    if scalar.bare and _WHOLE.fullmatch(scalar.text):
        return int(scalar.text)
    raise WrongValueError(f"is {shown(scalar.shown)}, must be a whole number{_unquoted(scalar)}")


def _float(scalar: Scalar, _: Any) -> float:
    if scalar.bare and _NUMBER.fullmatch(scalar.text):
        return float(scalar.text)
    raise WrongValueError(f"is {shown(scalar.shown)}, must be a number such as 2 or 0.5{_unquoted(scalar)}")


def _unquoted(scalar: Scalar) -> str:
    return "" if scalar.bare else " without quotes"


def _str(scalar: Scalar, _: Any) -> str:
    return scalar.text


def _bind(scalar: Scalar, _: Any) -> Bind:
    bind: Bind = _parsed(scalar, units.parse_bind)
    return bind


def _any_bind(scalar: Scalar, folder: Path) -> Bind | UnixBind:
    kind, colon, path = scalar.text.partition(":")
    if (kind, colon) != ("unix", ":"):
        return _bind(scalar, Bind)
    if not path or "\0" in path:
        raise WrongValueError("has no path after unix:, must be such as unix:/run/guardian/admin.sock")
    whole = folder / path
    if len(str(whole).encode("utf-8", "surrogateescape")) > _LONGEST_UNIX:
        raise WrongValueError(f"is a path of more than {_LONGEST_UNIX} bytes, which no socket may have: give a shorter")
    return UnixBind(path=whole)


def _path(scalar: Scalar, folder: Path) -> Path:
    if not scalar.text or "\0" in scalar.text:
        raise WrongValueError("is no file name, must be the path of a file")
    return folder / scalar.text


def _enum(scalar: Scalar, kind: Any) -> Any:
    values = {str(member.value): member for member in kind}
    if scalar.text not in values:
        raise WrongValueError(f"is {shown(scalar.shown)}, must be one of {', '.join(values)}")
    return values[scalar.text]


def _literal(scalar: Scalar, hint: Any) -> Any:
    for value in get_args(hint):
        if scalar.text == str(value) and (scalar.bare or isinstance(value, str)):
            return value
    options = ", ".join(str(value) for value in get_args(hint))
    one_of = "one of " if len(get_args(hint)) > 1 else ""
    raise WrongValueError(f"is {shown(scalar.shown)}, must be {one_of}{options}{_unquoted(scalar)}")


def _number_or_word(scalar: Scalar, number: Any, word: Any) -> Any:
    """A key that takes a number, or one word that stands for what fits."""
    if scalar.text in get_args(word):
        return scalar.text
    try:
        return _CONVERTER.structure(scalar, number)
    except WrongValueError as exc:
        raise WrongValueError(f"{exc}, or {get_args(word)[0]}") from exc


def _converter() -> Converter:
    """Dispatches by type. cattrs' own hooks for these would turn "9100" into 9100 and 1500.7 into 1500."""
    converter = Converter(forbid_extra_keys=True)
    converter.register_structure_hook_func(lambda hint: _origin(hint) is Literal, _literal)
    converter.register_structure_hook_func(lambda hint: isinstance(hint, type) and issubclass(hint, enum.Enum), _enum)
    converter.register_structure_hook_factory(lambda hint: _origin(hint) is Annotated, _annotated)
    for kind, hook in ((bool, _bool), (int, _int), (float, _float), (str, _str), (Bind, _bind)):
        converter.register_structure_hook(kind, hook)
    return converter


_CONVERTER: Final = _converter()
