"""Nodes to drafts: each section as far as it can be read, with everything in it that cannot reported.

A draft, and not the finished object, so that one wrong value hides no other problem: the checks that follow
(`semantics`) work on what is known and say nothing of what is not.
"""

from __future__ import annotations

import enum
import re
import types
import typing
from collections.abc import Iterator
from collections.abc import Mapping as AbstractMapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import attrs

from .model import Bind, Name, UnixBind
from .problems import WHOLE_FILE, Place, Report, join, one_line
from .values import WrongValueError, expected, nearest, read_value
from .yaml_source import Entry, Mapping, Node, Scalar, Sequence, shown

_SUBSTITUTE: Final = re.compile(r"\$\{([^}]*)\}?")
_VARIABLE: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)
_SECRET: Final = re.compile(r"pass(word|phrase|wd)?$|pwd$|pin$|secret$|token$|private_key$")
_UNIONS: Final = (typing.Union, types.UnionType)
_HINTS: Final[dict[type[Any], dict[str, Any]]] = {}
_REMEDIES: Final = {
    "CREDENTIALS_DIRECTORY": "systemd sets it for the service alone; here set it to the folder of the keys",
}
_SECRET_FILES: Final = {"token": "token_file", "secret": "token_file"}


@attrs.define(eq=False)
class Draft:
    """One section. A field is in ``values`` (given or by default), or in ``broken``: needed or given, and wrong."""

    kind: type[Any]
    place: Place
    values: dict[str, Any] = attrs.field(factory=dict)
    places: dict[str, Place] = attrs.field(factory=dict)  # of what the file gives
    items: dict[str, tuple[Place, ...]] = attrs.field(factory=dict)  # of the items of each list in ``values``
    partial: set[str] = attrs.field(factory=set)  # lists of which some items could not be read and are left out
    broken: set[str] = attrs.field(factory=set)

    def known(self, *fields: str) -> bool:
        return all(field in self.values for field in fields)

    def given(self, field: str) -> bool:
        return field in self.places

    def at(self, field: str) -> Place:
        """Where a field is given, else where it would be."""
        return self.places.get(field) or self.place.at(field)

    def sections(self, field: str) -> list[Draft]:
        """The drafts of a list of sections; none where the list itself cannot be read."""
        found: list[Draft] = list(self.values.get(field, ()))
        return found

    def build(self) -> Any:
        """The object itself; only for a draft without errors."""
        return self.kind(**{name: _built(value) for name, value in self.values.items()})


@attrs.frozen
class _Items:
    """A list's values, and where each stands."""

    values: tuple[Any, ...]
    places: tuple[Place, ...]
    complete: bool


def _built(value: Any) -> Any:
    if isinstance(value, Draft):
        return value.build()
    if isinstance(value, tuple):
        return tuple(_built(item) for item in value)
    if isinstance(value, dict):
        return {key: _built(item) for key, item in value.items()}
    return value


def hints_of(kind: type[Any]) -> dict[str, Any]:
    """The type of each field of a section."""
    if kind not in _HINTS:
        _HINTS[kind] = typing.get_type_hints(kind, include_extras=True)
    return _HINTS[kind]


def is_section(hint: Any) -> bool:
    """Whether a type is written as a section with keys; an address is one scalar."""
    return hint not in (Bind, UnixBind) and attrs.has(hint)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """`X | None` to X, and whether None was there."""
    if get_origin(hint) in _UNIONS:
        rest = [part for part in get_args(hint) if part is not type(None)]
        if len(rest) < len(get_args(hint)):
            return rest[0], True
    return hint, False


class Reader:
    """Reads sections of one file. Problems go to the report; nothing is raised."""

    def __init__(self, report: Report, folder: Path, environment: AbstractMapping[str, str]) -> None:
        self._report = report
        self._folder = folder
        self._environment = environment

    def section(self, kind: type[Any], node: Node, place: Place) -> Draft:
        """A section's draft. Missing keys get their default, and are a problem where there is none."""
        draft = Draft(kind, place)
        fields = {field.name: field for field in attrs.fields(kind)}
        if not isinstance(node, Mapping):
            self._report.error(place, _not_a_section(node, list(fields)))
            draft.broken.update(fields)
            return draft
        self._given(draft, node, list(fields))
        for name, field in fields.items():
            if name not in node.entries:
                self._default(draft, field)
        return draft

    def _given(self, draft: Draft, node: Mapping, fields: list[str]) -> None:
        """Take what a section gives, and report the keys it cannot have."""
        self._faults(node, draft.place)
        for key, entry in node.entries.items():
            if key in fields:
                self._field(draft, key, entry)
            else:
                self._unknown(draft.place, key, entry, [name for name in fields if name not in node.entries])

    def _faults(self, node: Mapping, place: Place) -> None:
        for fault in node.faults:
            path = join(place.path, _as_key(fault.key)) if fault.key else place.path or WHOLE_FILE
            self._report.error(Place(path, fault.line), fault.message)

    def _field(self, draft: Draft, key: str, entry: Entry) -> None:
        place = Place(join(draft.place.path, key), entry.line)
        draft.places[key] = place
        try:
            value = self._value(hints_of(draft.kind)[key], entry.node, place)
        except WrongValueError as exc:
            draft.broken.add(key)
            self._report.error(Place(place.path, _line(entry.node, entry.line)), str(exc))
            return
        if isinstance(value, _Items):
            draft.items[key] = value.places
            if not value.complete:
                draft.partial.add(key)
            value = value.values
        draft.values[key] = value

    def _default(self, draft: Draft, field: attrs.Attribute[Any]) -> None:
        hint, optional = _without_none(hints_of(draft.kind)[field.name])
        place = draft.place.at(field.name)
        if field.default is attrs.NOTHING:
            draft.broken.add(field.name)
            self._report.error(place, f"is missing, must be {_expected(hint)}")
        elif is_section(hint) and not optional and field.default is not None:
            draft.values[field.name] = self.section(hint, Mapping({}, place.line), place)
        elif isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
            draft.values[field.name] = {}
        else:
            draft.values[field.name] = field.default

    def _unknown(self, place: Place, key: str, entry: Entry, free: list[str]) -> None:
        where = Place(join(place.path, _as_key(key)), entry.line)
        if _SECRET.search(key.lower()) and isinstance(entry.node, Scalar):
            file_key = _SECRET_FILES.get(key.lower(), "key_password_file")
            self._report.error(
                where, f"is a secret, which is never in the file: write {file_key}: with the path of a file"
            )
        else:
            self._report.error(where, f"is no known key, {nearest(key, free) if free else 'remove it'}")

    def _value(self, hint: Any, node: Node, place: Place) -> Any:
        if node.tag is not None:
            raise WrongValueError(f"has the tag {shown(node.tag)}, tags are not read: remove it")
        hint, optional = _without_none(hint)
        if optional and isinstance(node, Scalar) and node.null:
            return None
        if is_section(hint):
            return self.section(hint, node, place)
        if any(get_origin(part) is tuple for part in get_args(hint)) and get_origin(hint) in _UNIONS:
            return self._word_or_list(hint, node, place)
        if get_origin(hint) is tuple:
            return self._list(get_args(hint)[0], node, place)
        if get_origin(hint) is AbstractMapping:
            key_kind, kind = get_args(hint)
            return self._table(key_kind, kind, node, place)
        return self._scalar(hint, node)

    def _word_or_list(self, hint: Any, node: Node, place: Place) -> Any:
        """A key that takes one word that stands for everything, or a list of what is meant."""
        word, listed = get_args(hint)
        item = get_args(listed)[0]
        if isinstance(node, Sequence):
            return self._list(item, node, place)
        try:
            return self._scalar(word, node)
        except WrongValueError as exc:
            raise WrongValueError(f"{exc}, or a list of {_plural(item)}") from exc

    def _scalar(self, hint: Any, node: Node) -> Any:
        if not isinstance(node, Scalar):
            found = "a list" if isinstance(node, Sequence) else "a section"
            raise WrongValueError(f"is {found}, must be {expected(hint)}")
        return read_value(self._substituted(node), hint, self._folder)

    def _list(self, hint: Any, node: Node, place: Place) -> _Items:
        """What can be read of a list; an item that cannot is left out, after its problem is reported.

        A section that is wrong inside stays in, as a draft.
        """
        if not isinstance(node, Sequence):
            raise WrongValueError(f"is not a list, must be a list of {_plural(hint)}" + _as_list(node, hint))
        values: list[Any] = []
        places: list[Place] = []
        names = list(_names(node)) if is_section(hint) else [None] * len(node.items)
        for number, item in enumerate(node.items):
            name = names[number]
            path = f"{place.path}[{number}]" if name is None else join(place.path, name)
            here = Place(path, item.line)
            try:
                values.append(self._value(hint, item, here))
                places.append(here)
            except WrongValueError as exc:
                self._report.error(here, str(exc))
        return _Items(tuple(values), tuple(places), len(values) == len(node.items))

    def _table(self, key_kind: type[enum.Enum], kind: type[Any], node: Node, place: Place) -> dict[Any, Draft]:
        """Sections under keys that are an enum's values, such as ``errors``."""
        members = {str(member.value): member for member in key_kind}
        if not isinstance(node, Mapping):
            raise WrongValueError(_not_a_section(node, list(members)))
        self._faults(node, place)
        table: dict[Any, Draft] = {}
        for key, entry in node.entries.items():
            if key in members:
                where = Place(join(place.path, key), entry.line)
                table[members[key]] = self._partial(kind, entry.node, where)
            else:
                self._unknown(place, key, entry, [name for name in members if name not in node.entries])
        return table

    def _partial(self, kind: type[Any], node: Node, place: Place) -> Draft:
        """A section whose missing keys are filled in later, key by key."""
        draft = Draft(kind, place)
        fields = [field.name for field in attrs.fields(kind)]
        if not isinstance(node, Mapping):
            self._report.error(place, _not_a_section(node, fields))
            draft.broken.update(fields)
            return draft
        self._given(draft, node, fields)
        return draft

    def _substituted(self, scalar: Scalar) -> Scalar:
        """The scalar with ``${env:NAME}`` filled in. Raises `WrongValueError` for a variable that is not set."""
        if "${" not in scalar.text:
            return scalar

        def fill(found: re.Match[str]) -> str:
            variable = _VARIABLE.fullmatch(found[1])
            if variable is None or not found[0].endswith("}"):
                raise WrongValueError("has a ${ that is no substitution, must be ${env:NAME}")
            value = self._environment.get(variable[1])
            if value is None:
                remedy = _REMEDIES.get(variable[1], "set it, or write the value")
                raise WrongValueError(f"uses the environment variable {variable[1]}, which is not set: {remedy}")
            self._report.keep_secret(value, found[0])
            return value

        return attrs.evolve(scalar, text=_SUBSTITUTE.sub(fill, scalar.text), filled=True)


def _names(node: Sequence) -> Iterator[str | None]:
    """The name of each item that has a right one of its own; its problems' paths read better with it."""
    pattern = next(meta.pattern for meta in get_args(Name)[1:])
    seen: set[str] = set()
    for item in node.items:
        entry = item.entries.get("name") if isinstance(item, Mapping) else None
        name = entry.node.text if entry is not None and isinstance(entry.node, Scalar) else None
        if name is None or name in seen or not re.fullmatch(pattern, name):
            yield None
        else:
            seen.add(name)
            yield name


def _as_key(text: str) -> str:
    """A key as part of a path, whatever is in it."""
    return one_line(text)[:60] or "''"


def _line(node: Node, key_line: int) -> int:
    """A scalar's own line; that of its key for everything else, and where nothing is written."""
    return node.line if isinstance(node, Scalar) and node.text else key_line


def _not_a_section(node: Node, keys: list[str]) -> str:
    if isinstance(node, Scalar) and node.null:
        return f"is empty, must have keys ({', '.join(keys)}), or be left out"
    found = "a list" if isinstance(node, Sequence) else "a single value"
    return f"is {found}, must be a section with keys: {', '.join(keys)}"


def _expected(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return f"a list of {_plural(get_args(hint)[0])}"
    if is_section(hint):
        return f"a section with keys: {', '.join(field.name for field in attrs.fields(hint))}"
    return "letters and digits" if hint is Name else expected(hint)


def _plural(hint: Any) -> str:
    if is_section(hint):
        return f"sections with keys: {', '.join(field.name for field in attrs.fields(hint))}"
    return "paths" if hint is Path else "texts" if hint is str else "values"


def _as_list(node: Node, hint: Any) -> str:
    """How to write a single value as a list, where that is all that is wrong."""
    return ": put [ ] around it" if isinstance(node, Scalar) and node.text and not is_section(hint) else ""
