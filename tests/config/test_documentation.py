"""The documentation names every key with its default, and the example configuration is a good one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from config import model
from config.loader import load
from config.structure import hints_of, is_section
from config.units import parse_bind, parse_duration, parse_size

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "configuration.md").read_text()
SECTIONS: dict[str, type[Any]] = {
    "Top level": model.Config,
    "listeners[]": model.Listener,
    "listeners[].tls": model.ListenerTls,
    "listeners[].limits": model.Limits,
    "groups[]": model.Group,
    "groups[].tls": model.DeviceTls,
    "groups[].ping": model.Ping,
    "groups[].balancing": model.Balancing,
    "groups[].ejection": model.Ejection,
    "groups[].queue": model.Queue,
    "groups[].retries": model.Retries,
    "groups[].sessions": model.Sessions,
    "groups[].sessions.login[]": model.LoginRule,
    "groups[].sessions.login[].success": model.FieldValue,
    "groups[].identity": model.Identity,
    "groups[].identity.probes[]": model.Probe,
    "groups[].identity.pin": model.SerialPin,
    "groups[].writes": model.Writes,
    "groups[].functions": model.Functions,
    "groups[].nested": model.NestedTag,
    "groups[].clients[]": model.ClientRule,
    "groups[].clients[].match": model.Match,
    "groups[].devices[]": model.Device,
    "admin": model.Admin,
    "admin.tls": model.AdminTls,
    "errors": model.ErrorText,
    "logs": model.Logs,
    "shutdown": model.Shutdown,
}
ROW = re.compile(r"^\| `([a-z_]+)` \| (.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)


def rows(title: str) -> dict[str, tuple[str, str]]:
    """Type and default of each key of a section's last table."""
    section = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    [body] = [part for part in section if part.startswith(f"{title}\n")]
    _, found, table = body.rpartition("| Key | Type | Default | Meaning |")
    assert found
    return {key: (kind, default) for key, kind, default, _ in ROW.findall(table)}


def test_every_section_of_the_model_is_documented() -> None:
    found = {
        value
        for value in vars(model).values()
        if isinstance(value, type) and is_section(value) and value.__module__.startswith(model.__name__)
    }
    assert found == set(SECTIONS.values())


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_is_documented_in_the_order_of_the_model(title: str) -> None:
    assert list(rows(title)) == [field.name for field in attrs.fields(SECTIONS[title])]


@pytest.mark.parametrize("title", SECTIONS)
def test_documented_defaults_are_those_of_the_model(title: str) -> None:
    for field in attrs.fields(SECTIONS[title]):
        kind, written = rows(title)[field.name]
        default = field.default
        if default is attrs.NOTHING:
            expected = "required"
        elif default is None:
            expected = "none"
        elif isinstance(default, attrs.Factory) or is_section(type(default)) or of_sections(default):  # type: ignore[arg-type]
            expected = "see below"
        else:
            assert read(kind, written.strip("`")) == plain(default), field.name
            continue
        assert written == expected, field.name


@pytest.mark.parametrize("title", SECTIONS)
def test_documented_choices_are_those_of_the_model(title: str) -> None:
    for name, hint in hints_of(SECTIONS[title]).items():
        options = getattr(hint, "__members__", None)
        if options is not None:
            assert rows(title)[name][0] == " or ".join(f"`{option.value}`" for option in hint)


def of_sections(default: Any) -> bool:
    return isinstance(default, tuple) and bool(default) and is_section(type(default[0]))


def plain(default: Any) -> Any:
    if isinstance(default, tuple):
        return [plain(item) for item in default]
    return default.value if hasattr(default, "value") else default


def read(kind: str, text: str) -> Any:
    """A documented default, as its documented type says."""
    if kind.startswith("list of"):
        item = kind.removeprefix("list of ").removesuffix("s")
        return [read(item, each.strip()) for each in text.strip("[]").split(",") if each]
    for prefix, parse in (("duration", parse_duration), ("size", parse_size), ("host:port", parse_bind)):
        if kind.startswith(prefix):
            return parse(text)
    if kind.startswith(("whole number", "`1`")):
        return int(text)
    if kind.startswith("number"):
        return float(text)
    return text == "true" if kind == "`true` or `false`" else text.strip('"')


def test_documented_answers_are_those_of_the_model() -> None:
    table = re.findall(r"^\| `([a-z_]+)` \| ([0-9]{3}) \| `([A-Z ]+)` \|", TEXT, re.MULTILINE)
    assert table == [(key.value, str(text.number), text.text) for key, text in model.DEFAULT_ERRORS.items()]


def test_example_configuration_has_no_problem() -> None:
    loaded = load(ROOT / "deploy" / "guardian.example.yaml", environment={})
    assert loaded.problems == ()
    assert loaded.config is not None
    assert [device.name for device in loaded.config.groups[0].devices] == ["hsm1", "hsm2", "hsm3"]
