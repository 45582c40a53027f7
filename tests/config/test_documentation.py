"""The documentation names every key as the model has it, and the example configuration is a good one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config import model
from config.loader import load
from config.reference import document, meanings, sections, table
from config.structure import is_section

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "configuration.md").read_text()


def test_the_tables_are_those_of_the_model() -> None:
    assert document(TEXT) == TEXT, "run `make reference`"


def test_every_section_of_the_model_is_documented() -> None:
    found = {value for value in vars(model).values() if isinstance(value, type) and is_section(value)}
    titles = dict(sections())
    documented = {titles[title] for title in re.findall(r"^## (.+)$", TEXT, re.MULTILINE) if title in titles}
    assert found == documented


@pytest.mark.parametrize("kind", dict.fromkeys(kind for _, kind in sections()), ids=lambda kind: kind.__name__)
def test_every_section_that_is_documented_has_its_table(kind: type[object]) -> None:
    assert table(kind) in TEXT
    assert all(meanings(kind).values())


def test_a_table_that_is_out_of_date_is_made_anew() -> None:
    old = TEXT.replace("| `size` | whole number, at least 0 | `1024` |", "| `size` | text | `7` |")
    assert old != TEXT
    assert document(old) == TEXT


def test_documented_answers_are_those_of_the_model() -> None:
    answers = re.findall(r"^\| `([a-z_]+)` \| ([0-9]{3}) \| `([A-Z ]+)` \|", TEXT, re.MULTILINE)
    assert answers == [(key.value, str(text.number), text.text) for key, text in model.DEFAULT_ERRORS.items()]


def test_example_configuration_has_no_problem() -> None:
    loaded = load(ROOT / "deploy" / "guardian.example.yaml", environment={})
    assert loaded.problems == ()
    assert loaded.config is not None
    assert [device.name for device in loaded.config.groups[0].devices] == ["hsm1", "hsm2", "hsm3"]
