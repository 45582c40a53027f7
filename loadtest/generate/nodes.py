"""Values that come from options, in the form in which the configuration's reader takes a file's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from config import yaml_source
from config.yaml_source import Entry, Node, Scalar

OPTION_LINE: Final = 0  # where a value did not come from a file


class ScenarioError(Exception):
    """What is wrong with a scenario, a line for each mistake."""


def word(text: str) -> Scalar:
    """An option's value as the file would have it."""
    return Scalar(text, OPTION_LINE, True, text)


def section(entries: Mapping[str, Node]) -> yaml_source.Mapping:
    return yaml_source.Mapping({key: Entry(OPTION_LINE, node) for key, node in entries.items()}, OPTION_LINE)


def sequence(items: Iterable[Node]) -> yaml_source.Sequence:
    return yaml_source.Sequence(tuple(items), OPTION_LINE)
