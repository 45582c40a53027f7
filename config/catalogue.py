"""What is known of the Excrypt commands: the shipped data file, and a user's file that extends or overrides it."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

import attrs
from msgspec import Meta

from . import yaml_source
from .problems import WHOLE_FILE, Place, Problem, Report
from .structure import Draft, Reader

Code = Annotated[str, Meta(pattern=r"^[A-Z0-9]{4}$", description="four upper-case letters or digits")]
Label = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,40}$", description="a word of small letters, digits, _ and -")]
ListName = Annotated[
    str, Meta(pattern=r"^[a-z0-9-]{1,40}/[a-z0-9-]{1,40}$", description="<guide>/<list>, such as generic/signing")
]

_CODE: Final = re.compile(r"[A-Z0-9]{4}", re.ASCII)
_NESTED: Final = re.compile(r"[A-Z0-9]{4}/[A-Z0-9]{4}", re.ASCII)  # a command, and one that it carries
_FXCLI_PREFIX: Final = "Excrypt:"  # FXCLI writes a function as Excrypt:GPKD
_OWN_CATEGORY: Final = "other"


class Effect(enum.Enum):
    """What a command does to its device, and so whether it may be sent twice."""

    READ = "read"  # nothing; may be sent again to another device
    DEVICE = "device"  # nothing, but the answer belongs to one device
    COUNTER = "counter"  # may touch a try counter; never sent twice
    WRITE = "write"  # changes, or may change, keys, settings or the clock; never sent twice
    SESSION = "session"  # changes who the connection is
    PINNED = "pinned"  # one step of an exchange that stays on one device connection

    @property
    def repeatable(self) -> bool:
        return self in (Effect.READ, Effect.DEVICE)


class Everything(enum.Enum):
    """What the entry `*` of a function list stands for: every command, also those nobody knows."""

    ALL = "*"


ALL: Final = Everything.ALL


@attrs.frozen(kw_only=True)
class Command:
    name: Code
    effect: Effect
    category: Label = _OWN_CATEGORY
    multipart: bool = False  # a request may continue on the device connection of its first part
    deterministic: bool = True  # two devices give the same right answer
    lists: tuple[ListName, ...] = ()  # the integration guides' function lists that name it
    confidence: Literal["A", "B", "C", "user"] = "user"  # vendor guide, client code that worked, second-hand
    description: str = ""


@attrs.frozen(kw_only=True)
class _Amendment:
    """An entry of a user's file: what is not given stays as it is."""

    name: Code
    effect: Effect | None = None
    category: Label | None = None
    multipart: bool | None = None
    deterministic: bool | None = None
    lists: tuple[ListName, ...] | None = None
    confidence: Literal["A", "B", "C", "user"] | None = None
    description: str | None = None


@attrs.frozen(kw_only=True)
class _Shipped:
    commands: tuple[Command, ...]


@attrs.frozen(kw_only=True)
class _Amendments:
    commands: tuple[_Amendment, ...]


class UnknownEntryError(LookupError):
    """An entry of a function list that stands for nothing; the text says what would be right, not what was given."""


class Catalogue:
    """Commands by code. Immutable; two are equal when their commands are."""

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = dict(commands)
        self._lists = _grouped((name, command.name) for command in commands.values() for name in command.lists)
        self._categories = _grouped((command.category, command.name) for command in commands.values())

    def __contains__(self, code: str) -> bool:
        return code in self._commands

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def __len__(self) -> int:
        return len(self._commands)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalogue) and other._commands == self._commands

    def __hash__(self) -> int:
        return hash(frozenset(self._commands.values()))

    def get(self, code: str) -> Command | None:
        """None for a command nobody knows: it counts as a write that may change the session."""
        return self._commands.get(code)

    @property
    def lists(self) -> Mapping[str, frozenset[str]]:
        """The codes of each guide's list, by ``<guide>/<list>``."""
        return self._lists

    @property
    def categories(self) -> Mapping[str, frozenset[str]]:
        return self._categories

    def effect(self, effect: Effect) -> frozenset[str]:
        return frozenset(command.name for command in self if command.effect is effect)

    def expand(self, entry: str) -> frozenset[str] | Everything:
        """The codes that an entry of ``allow`` or ``block`` stands for; `ALL` for ``*``.

        A well-formed code that is not in the catalogue stands for itself, and so does ``RKRL/ABCD``. Raises
        `UnknownEntryError` for the rest.
        """
        if entry == ALL.value:
            return ALL
        kind, colon, name = entry.partition(":")
        if colon and kind == "category":
            return self._named(name, self._categories, "category", "category:")
        if colon and kind == "effect":
            effects = {effect.value: self.effect(effect) for effect in Effect}
            return self._named(name, effects, "effect", "effect:")
        code = entry.removeprefix(_FXCLI_PREFIX)
        if "/" in entry and not _NESTED.fullmatch(code):
            return self._named(entry, self._lists, "list", "")
        if _CODE.fullmatch(code) or _NESTED.fullmatch(code):
            return frozenset((code,))
        raise UnknownEntryError(f"names no function, {self._meant(code)}")

    @staticmethod
    def _named(name: str, known: Mapping[str, frozenset[str]], kind: str, prefix: str) -> frozenset[str]:
        if name in known:
            return known[name]
        near = get_close_matches(name.lower(), known, n=1)
        if near:
            raise UnknownEntryError(f"names no {kind}, did you mean '{prefix}{near[0]}'?")
        raise UnknownEntryError(f"names no {kind}, there are: {', '.join(sorted(known))}")

    def _meant(self, code: str) -> str:
        upper = code.rpartition(":")[2].upper()
        near = [upper] if upper in self else get_close_matches(upper, self._commands, n=1)
        if near:
            return f"did you mean '{near[0]}'?"
        return "must be a command (GPKD), a list (generic/signing), category:<c>, effect:<e> or *"


def load_catalogue(user_file: Path | None = None) -> tuple[Catalogue, tuple[Problem, ...]]:
    """The shipped catalogue with a user's file over it, and what is wrong with that file.

    Never raises for what a user wrote: what of the file is right counts.
    """
    commands = dict(_shipped())
    if user_file is None:
        return Catalogue(commands), ()
    report = Report(str(user_file))
    draft = _read(user_file, _Amendments, report) if _regular(user_file, report) else None
    seen: set[str] = set()
    for entry in draft.sections("commands") if draft is not None else ():
        if not entry.known("name"):
            continue
        name = entry.values["name"]
        if name in seen:
            report.error(entry.at("name"), f"is given twice, must be given once: '{name}'")
            continue
        seen.add(name)
        _amend(commands, name, entry, report)
    return Catalogue(commands), report.problems()


def _amend(commands: dict[str, Command], name: str, entry: Draft, report: Report) -> None:
    given = {field: value for field, value in entry.values.items() if entry.given(field) and value is not None}
    if name in commands:
        commands[name] = attrs.evolve(commands[name], **given)
    elif "effect" in given:
        commands[name] = Command(**given)
    elif "effect" not in entry.broken:
        effects = ", ".join(effect.value for effect in Effect)
        report.error(entry.at("effect"), f"is missing, and '{name}' is not in the shipped catalogue: one of {effects}")


def _regular(path: Path, report: Report) -> bool:
    """Whether reading it cannot wait for ever, as on a pipe; a file that is not there is reported by the reader."""
    try:
        if path.is_file() or not path.exists():
            return True
    except (OSError, ValueError):
        return True
    report.error(Place(WHOLE_FILE, 1), "is no regular file, must be a readable YAML file")
    return False


def _read(path: Path, kind: type[object], report: Report) -> Draft | None:
    text = yaml_source.read_file(path, report)
    root = yaml_source.parse(text, report) if text is not None else None
    if root is None:
        return None
    return Reader(report, path.parent, {}).section(kind, root, Place("", 1))


_loaded: dict[str, Command] = {}


def _shipped() -> Mapping[str, Command]:
    """The package's own data, read once per process."""
    if not _loaded:
        report = Report("commands.yaml")
        with resources.as_file(resources.files(__package__) / "commands.yaml") as path:
            draft = _read(path, _Shipped, report)
        assert draft is not None
        assert not report.problems(), report.problems()
        shipped: _Shipped = draft.build()
        _loaded.update((command.name, command) for command in shipped.commands)
    return _loaded


def _grouped(pairs: Iterator[tuple[str, str]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for group, code in pairs:
        found.setdefault(group, set()).add(code)
    return {group: frozenset(codes) for group, codes in found.items()}
