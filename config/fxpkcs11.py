"""A client's fxpkcs11.cfg: read and written without losing a byte of it. Pure.

Public examples are all that is known of the form: a line ``<TAG> value </TAG>``, a comment from ``#`` on, also before a
tag to switch it off, and sections ``<HSM>``, ``<KMS>`` and ``<CONFIG>`` that hold such lines. What a tag means is
`fxpkcs11_tags`' affair; one that nobody knows is kept like any other.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

_NAME: Final = r"[A-Za-z0-9_.-]{1,64}"
_TRAILER: Final = r"[ \t]*(?:#.*)?"
# The blanks around a value are not told apart here: with three parts that may be blank, long lines would take for ever.
_SETTING: Final = re.compile(rf"([ \t]*)((?:#[#\s]*)?)<({_NAME})>(.*?)</\3>({_TRAILER})", re.DOTALL)
_OPENING: Final = re.compile(rf"[ \t]*<({_NAME})>{_TRAILER}", re.DOTALL)
_CLOSING: Final = re.compile(rf"[ \t]*</({_NAME})>{_TRAILER}", re.DOTALL)
_BEGUN: Final = re.compile(rf"[ \t]*<({_NAME})>")
_BLANKS: Final = " \t"
_MARK: Final = "\ufeff"  # Windows' Notepad begins a file with it


class LineKind(enum.Enum):
    SECTION = "section"  # <HSM>
    END = "end"  # </HSM>
    SETTING = "setting"  # <TAG> value </TAG>
    OFF = "off"  # the same after a #
    COMMENT = "comment"  # or nothing
    BROKEN = "broken"  # none of these


@attrs.frozen
class Line:
    """One line with its end, and what it is. ``fault`` says why it is broken; it never repeats the line's text."""

    text: str = attrs.field(repr=False)
    kind: LineKind
    tag: str = ""
    value: str = attrs.field(default="", repr=False)
    fault: str = ""


@attrs.frozen
class Setting:
    tag: str
    value: str = attrs.field(repr=False)  # may be a password
    line: int  # from 1


@attrs.frozen
class Section:
    """A section with its settings in their order. ``number`` counts the file's sections from 0."""

    name: str
    line: int
    number: int
    settings: tuple[Setting, ...]

    def all(self, tag: str) -> tuple[Setting, ...]:
        return tuple(setting for setting in self.settings if setting.tag == tag)

    def get(self, tag: str) -> Setting | None:
        """The first of that tag."""
        return next((setting for setting in self.settings if setting.tag == tag), None)


@attrs.frozen
class Fault:
    """What is wrong with a file's form. ``tag`` is empty where no tag can be told."""

    line: int
    tag: str
    message: str


@attrs.frozen
class ClientFile:
    """A whole file. Its lines, put together again, are the text it was read from."""

    lines: tuple[Line, ...]

    def render(self) -> str:
        return "".join(line.text for line in self.lines)

    @property
    def sections(self) -> tuple[Section, ...]:
        """Those that are opened; one without an end lasts to the next one's beginning."""
        return tuple(section for section, _ in self._spans())

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(_faults(self.lines))

    def with_values(self, section: Section, tag: str, values: Sequence[str]) -> ClientFile:
        """The same with these values of that tag in that section of it, and every other line as it was.

        A tag that has none any more is switched off by ``#``. What is new stands behind the others of its tag, or takes
        the place of one that is switched off, or is the last of its section. Raises ValueError for a value that the
        form cannot hold.
        """
        for value in values:
            check_value(tag, value)
        first, last = next(span for found, span in self._spans() if found.number == section.number)
        lines = list(self.lines)
        places = [at for at in range(first, last) if lines[at].kind is LineKind.SETTING and lines[at].tag == tag]
        off = [at for at in range(first, last) if lines[at].kind is LineKind.OFF and lines[at].tag == tag]
        for at, value in zip(places, values, strict=False):
            lines[at] = _with_value(lines[at], value)
        for at in places[len(values) :]:
            lines[at] = _classified("# " + lines[at].text)
        rest = list(values[len(places) :])
        if rest and off and not places:
            lines[off[0]] = _with_value(lines[off[0]], rest.pop(0), _indent(lines[first:last]))
            places = off[:1]
        at = (places[-1] + 1) if places else last
        before = lines[at - 1].text
        end = "\r\n" if before.endswith("\r\n") else "\n"
        if rest and not before.endswith("\n"):
            lines[at - 1] = attrs.evolve(lines[at - 1], text=before + end)
        indent = _indent(lines[first:last])
        lines[at:at] = [_classified(f"{indent}<{tag}> {value} </{tag}>{end}") for value in rest]
        return ClientFile(tuple(lines))

    def _spans(self) -> Iterator[tuple[Section, tuple[int, int]]]:
        """Each section, and the lines of its inside as a half-open range."""
        number = 0
        opened: int | None = None
        for at, line in enumerate((*self.lines, Line("", LineKind.END))):
            if line.kind not in (LineKind.SECTION, LineKind.END):
                continue
            if opened is not None:
                settings = tuple(
                    Setting(inner.tag, inner.value, place)
                    for place, inner in enumerate(self.lines[opened + 1 : at], start=opened + 2)
                    if inner.kind is LineKind.SETTING
                )
                yield Section(self.lines[opened].tag, opened + 1, number, settings), (opened + 1, at)
                number += 1
            opened = at if line.kind is LineKind.SECTION else None


def parse(text: str) -> ClientFile:
    """Never raises: what cannot be read is kept, and is among the file's ``faults``."""
    return ClientFile(_lines(text))


def compose(sections: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> ClientFile:
    """A new file of these sections, each with tags and values. Raises ValueError for what the form cannot hold."""
    made = []
    for name, settings in sections:
        if not re.fullmatch(_NAME, name):
            raise ValueError(f"{name!r} is no name of a section")
        made.append(f"<{name}>\n")
        for tag, value in settings:
            check_value(tag, value)
            made.append(f"    <{tag}> {value} </{tag}>\n")
        made.append(f"</{name}>\n")
    return parse("".join(made))


def check_value(tag: str, value: str) -> None:
    """Raises ValueError, without the value, where a line cannot hold it so that it is read again as it is."""
    if not re.fullmatch(_NAME, tag):
        raise ValueError(f"{tag!r} is no tag")
    if "\n" in value or "\r" in value:
        raise ValueError(f"the value of {tag} has more than one line")
    if value != value.strip(_BLANKS):
        raise ValueError(f"the value of {tag} begins or ends with a blank")
    if f"</{tag}>" in value:
        raise ValueError(f"the value of {tag} holds </{tag}>")


def _lines(text: str) -> tuple[Line, ...]:
    pieces = text.split("\n")
    ended = [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
    return tuple(_classified(piece) for piece in ended)


def _classified(text: str) -> Line:
    bare = text.removesuffix("\n").removesuffix("\r").removeprefix(_MARK)
    if (found := _SETTING.fullmatch(bare)) is not None:
        tag, value = found[3], found[4].strip(_BLANKS)
        if f"</{tag}>" not in value:
            return Line(text, LineKind.OFF if found[2] else LineKind.SETTING, tag, value)
        if not found[2]:
            return Line(text, LineKind.BROKEN, tag, fault=f"is ended twice on its line: <{tag}> value </{tag}>")
    stripped = bare.strip(_BLANKS)
    if not stripped or stripped.startswith("#"):
        return Line(text, LineKind.COMMENT)
    for kind, form in ((LineKind.SECTION, _OPENING), (LineKind.END, _CLOSING)):
        if (found := form.fullmatch(bare)) is not None:
            return Line(text, kind, found[1])
    return _broken(text, bare)


def _broken(text: str, bare: str) -> Line:
    found = _BEGUN.match(bare)
    if found is None:
        return Line(text, LineKind.BROKEN, fault="is neither a tag nor a comment: <TAG> value </TAG>, or # before it")
    tag = found[1]
    if f"</{tag}>" in bare:
        return Line(text, LineKind.BROKEN, tag, fault=f"is followed by something on its line, must end with </{tag}>")
    return Line(text, LineKind.BROKEN, tag, fault=f"has no </{tag}> on its line, must be <{tag}> value </{tag}>")


def _with_value(line: Line, value: str, new_indent: str | None = None) -> Line:
    """The line with another value, switched on, and everything around it as it was; ``new_indent``: but this."""
    bare = line.text.rstrip("\r\n")
    mark = _MARK if bare.startswith(_MARK) else ""
    found = _SETTING.fullmatch(bare.removeprefix(_MARK))
    assert found is not None, "only settings get values"
    indent, _, tag, padded, trailer = found.groups()
    before = padded[: len(padded) - len(padded.lstrip(_BLANKS))]
    after = padded[len(padded.rstrip(_BLANKS)) :] if padded.strip(_BLANKS) else ""
    end = line.text[len(bare) :]
    indent = indent if new_indent is None else new_indent
    return _classified(f"{mark}{indent}<{tag}>{before or ' '}{value}{after or ' '}</{tag}>{trailer}{end}")


def _indent(lines: Iterable[Line]) -> str:
    for line in lines:
        if line.kind is LineKind.SETTING:
            return line.text[: len(line.text) - len(line.text.lstrip(_BLANKS))]
    return "    "


def _faults(lines: Sequence[Line]) -> Iterator[Fault]:
    opened: tuple[str, int] | None = None
    for number, line in enumerate(lines, start=1):
        if line.kind is LineKind.BROKEN:
            yield Fault(number, line.tag, line.fault)
        elif line.kind is LineKind.SECTION:
            if opened is not None:
                yield Fault(number, line.tag, f"begins inside of <{opened[0]}> (line {opened[1]}), which has no end")
            opened = (line.tag, number)
        elif line.kind is LineKind.END:
            if opened is None:
                yield Fault(number, line.tag, f"ends a section that no <{line.tag}> has begun")
            elif opened[0] != line.tag:
                yield Fault(number, line.tag, f"ends another section than <{opened[0]}> (line {opened[1]})")
            opened = None
        elif line.kind is LineKind.SETTING and opened is None:
            yield Fault(number, line.tag, "stands in no section, must be inside of <HSM>, <KMS> or <CONFIG>")
    if opened is not None:
        yield Fault(opened[1], opened[0], f"has no </{opened[0]}>")
