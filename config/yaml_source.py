"""YAML text to plain nodes that know their line.

Built from parser events with a stack of our own, because PyYAML's composer recurses (a deeply nested file ends the
interpreter), and its resolver reads `no`, `0755` and `12:30:45` its own way. Here a scalar stays text; what it means
is decided by the type that its key has (`values`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import yaml

from .problems import WHOLE_FILE, Place, Report, one_line

MAX_FILE: Final = 1024 * 1024
MAX_DEPTH: Final = 32  # our deepest section is at eight
MAX_NODES: Final = 100_000  # with every alias counted at its full size: a few lines of aliases can mean billions
_SHOWN: Final = 60

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@attrs.frozen
class Scalar:
    """One value. ``plain`` is false where quotes or a block say that it is text."""

    text: str
    line: int
    plain: bool = True
    shown: str = ""  # what a problem may print; differs from the text where the environment filled it in
    tag: str | None = None  # such as !!str; nothing may have one
    filled: bool = False  # from the environment; in { } YAML wants quotes around ${env:NAME}, so they say nothing

    @property
    def bare(self) -> bool:
        """Whether it may be a number or a bool."""
        return self.plain or self.filled

    @property
    def null(self) -> bool:
        return self.plain and not self.filled and self.text in ("", "~", "null")


@attrs.frozen(eq=False)
class Sequence:
    items: tuple[Node, ...]
    line: int
    tag: str | None = None


@attrs.frozen(eq=False)
class Mapping:
    entries: dict[str, Entry]
    line: int
    tag: str | None = None
    faults: tuple[Fault, ...] = ()


@attrs.frozen
class Fault:
    """A key that cannot be used, and why; whoever knows the section's name reports it."""

    key: str
    line: int
    message: str


@attrs.frozen(eq=False)
class Entry:
    """A key's line and its value."""

    line: int
    node: Node


Node = Scalar | Sequence | Mapping


class _UnusableError(Exception):
    """The file cannot be read on."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@attrs.define(eq=False)
class _Open:
    """A sequence or mapping whose end has not come yet."""

    line: int
    mapping: bool
    anchor: str | None
    tag: str | None
    items: list[Node] = attrs.field(factory=list)
    entries: dict[str, Entry] = attrs.field(factory=dict)
    faults: list[Fault] = attrs.field(factory=list)
    key: Scalar | None = None
    ignored: bool = False  # the value that comes next belongs to a key that cannot be used
    height: int = 1
    size: int = 1

    def closed(self) -> Node:
        if self.mapping:
            return Mapping(self.entries, self.line, self.tag, tuple(self.faults))
        return Sequence(tuple(self.items), self.line, self.tag)


def read_file(path: Path, report: Report) -> str | None:
    """The text of a file, or None and a problem."""
    place = Place(WHOLE_FILE, 1)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as exc:  # ValueError: a name with NUL in it
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        report.error(place, f"cannot be read ({reason}), must be a readable YAML file")
        return None
    if len(data) > MAX_FILE:
        report.error(place, f"is longer than {MAX_FILE} bytes, which no configuration is")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        report.error(Place(WHOLE_FILE, line), "is not UTF-8 text, must be a YAML file in UTF-8")
        return None


def parse(text: str, report: Report) -> Mapping | None:
    """The file's top level, or None and a problem. Of a key given twice the first value counts, and it is a fault."""
    try:
        root = _build(text)
    except _UnusableError as exc:
        report.error(Place(WHOLE_FILE, exc.line), str(exc))
        return None
    except yaml.YAMLError as exc:
        report.error(Place(WHOLE_FILE, _line_of(exc, text)), f"is not valid YAML: {_reason(exc)}")
        return None
    if root is None or (isinstance(root, Scalar) and root.null):
        report.error(Place(WHOLE_FILE, 1), "is empty, must have its keys at the top level")
        return None
    if not isinstance(root, Mapping):
        found = "a list" if isinstance(root, Sequence) else "a single value"
        report.error(Place(WHOLE_FILE, root.line), f"has {found} at the top level, must have keys there")
        return None
    return root


def shown(text: str) -> str:
    """A value for a problem's text: on one line, in quotes, not too long."""
    text = one_line(text)
    return f"'{text}'" if len(text) <= _SHOWN else f"'{text[:_SHOWN]}...'"


def _events(text: str) -> Iterator[Any]:
    return iter(yaml.parse(text, Loader=_Loader))


def _build(text: str) -> Node | None:
    builder = _Builder()
    for event in _events(text):
        builder.take(event)
    return builder.root


class _Builder:
    """Turns events into nodes. Raises `_UnusableError` where a limit of size or depth is passed."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int, int] | None] = {}  # node, size, height; None while it is open
        self._documents = 0

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _UnusableError(line, "has a second document, must be one: remove this ---")
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event.anchor, line)
        elif isinstance(event, yaml.ScalarEvent):
            plain = not event.style
            node = Scalar(event.value, line, plain, event.value, _tag(event))
            self._close(node, line, 1, 1, event.anchor)
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(self._stack) >= MAX_DEPTH:
                raise _UnusableError(line, f"is nested deeper than {MAX_DEPTH} levels, which no configuration is")
            if event.anchor is not None:
                self._anchors[event.anchor] = None
            self._stack.append(_Open(line, isinstance(event, yaml.MappingStartEvent), event.anchor, _tag(event)))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self._stack.pop()
            self._close(done.closed(), line, done.size, done.height + 1, done.anchor)

    def _alias(self, anchor: Any, line: int) -> None:
        if anchor not in self._anchors:
            raise _UnusableError(line, f"uses *{anchor}, which is defined nowhere above it")
        target = self._anchors[anchor]
        if target is None:
            raise _UnusableError(line, f"uses *{anchor} inside itself")
        node, size, height = target
        self._close(node, line, size, height, None)

    def _close(self, node: Node, line: int, size: int, height: int, anchor: str | None) -> None:
        """A node is complete: give it to what it stands in."""
        if anchor is not None:
            self._anchors[anchor] = (node, size, height)
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        parent.size += size
        parent.height = max(parent.height, height)
        if parent.size > MAX_NODES or len(self._stack) + height > MAX_DEPTH + 1:
            raise _UnusableError(line, "becomes far too large when its aliases are followed: write it out")
        if not parent.mapping:
            parent.items.append(node)
        elif parent.key is None and not parent.ignored:
            self._key(parent, node)
        else:
            self._value(parent, node)

    @staticmethod
    def _key(parent: _Open, node: Node) -> None:
        if not isinstance(node, Scalar):
            parent.faults.append(Fault("", node.line, "has a list or section as a key, keys must be words"))
            parent.ignored = True
        elif node.plain and node.text == "<<":
            parent.faults.append(Fault("<<", node.line, "is no known key: merging is not read, write the keys out"))
            parent.ignored = True
        else:
            parent.key = node

    @staticmethod
    def _value(parent: _Open, node: Node) -> None:
        key, parent.key = parent.key, None
        parent.ignored = False
        if key is None:
            return
        if key.text in parent.entries:
            first = parent.entries[key.text].line
            message = f"is given twice (first on line {first}), must be given once"
            parent.faults.append(Fault(key.text, key.line, message))
        else:
            parent.entries[key.text] = Entry(key.line, node)


def _tag(event: Any) -> str | None:
    """A tag that was written; "!" alone is how PyYAML marks a quoted scalar."""
    return None if event.tag in (None, "!") else str(event.tag)


def _line_of(exc: yaml.YAMLError, text: str) -> int:
    mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
    if mark is not None:
        return int(mark.line) + 1
    position = getattr(exc, "position", None)
    return text.count("\n", 0, position) + 1 if isinstance(position, int) else 1


def _reason(exc: yaml.YAMLError) -> str:
    if isinstance(exc, yaml.MarkedYAMLError) and exc.problem:
        return f"{exc.problem} {exc.context}" if exc.context else exc.problem
    return str(getattr(exc, "reason", None) or str(exc).partition("\n")[0])
