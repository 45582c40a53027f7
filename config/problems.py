"""What is wrong with a configuration, and where."""

from __future__ import annotations

import re
from typing import Final, Literal

import attrs

WHOLE_FILE: Final = "(file)"  # stands in for a key where the file itself is what is wrong

Severity = Literal["error", "warning"]


@attrs.frozen
class Place:
    """A key of the file; the line is the key's parent's where the key is missing."""

    path: str
    line: int

    def at(self, key: str) -> Place:
        """The place of a missing key of this section."""
        return Place(join(self.path, key), self.line)


@attrs.frozen(kw_only=True)
class Problem:
    file: str
    line: int
    path: str  # "groups.payments.devices.hsm2.role"; an item without a name of its own by its number: "clients[0]"
    message: str  # what is wrong, what would be right
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.path}: {self.message}"


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


@attrs.define(eq=False)
class Report:
    """Collects the problems of one file, each once, and keeps values from the environment out of their text."""

    file: str
    _problems: dict[tuple[int, str, str], Problem] = attrs.field(factory=dict, init=False)
    _secrets: dict[str, str] = attrs.field(factory=dict, init=False)  # value -> how the file names it

    def error(self, place: Place, message: str) -> None:
        self._add(place, message, "error")

    def warn(self, place: Place, message: str) -> None:
        self._add(place, message, "warning")

    def keep_secret(self, value: str, name: str) -> None:
        """From now on, ``name`` stands in for ``value`` in every problem, also in those already reported."""
        if value:
            self._secrets[value] = name

    def problems(self) -> tuple[Problem, ...]:
        """In the order of the file's lines."""
        found = sorted(self._problems.values(), key=lambda problem: problem.line)
        return tuple(self.redacted(problem) for problem in found)

    def redacted(self, problem: Problem) -> Problem:
        """The same without values from the environment; also for a problem of a file that this one names."""
        return attrs.evolve(
            problem,
            file=self._redact(problem.file),
            path=self._redact(problem.path),
            message=self._redact(problem.message),
        )

    def _add(self, place: Place, message: str, severity: Severity) -> None:
        problem = Problem(
            file=self.file, line=place.line, path=place.path, message=one_line(message), severity=severity
        )
        self._problems.setdefault((place.line, place.path, message), problem)

    def _redact(self, text: str) -> str:
        if not self._secrets:
            return text
        # Longest first, and in one pass, so that no stand-in is itself cut up. A value of one or two characters
        # is replaced only where it stands alone.
        forms = {form: name for value, name in self._secrets.items() for form in (value, one_line(value))}
        parts = (
            re.escape(form) if len(form) > 2 else rf"(?<!\w){re.escape(form)}(?!\w)"
            for form in sorted(forms, key=len, reverse=True)
        )
        return re.sub("|".join(parts), lambda found: forms[found[0]], text)


def one_line(text: str) -> str:
    """The text with everything that would break a line or move a terminal's cursor escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
