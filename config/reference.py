"""What the model says of itself: the tables of `docs/configuration.md` and the JSON Schema that editors use.

The text of each key is the string that stands under it in the model. `python -m config.reference` writes both anew.
"""

from __future__ import annotations

import ast
import enum
import functools
import inspect
import json
import operator
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import attrs
from msgspec import Meta

from . import model, units
from .structure import hints_of, is_section

TOP: Final = "Top level"
SCHEMA: Final = Path(__file__).with_name("guardian.schema.json")
_HEAD: Final = "| Key | Type | Default | Meaning |\n|---|---|---|---|\n"
_TABLE: Final = re.compile(re.escape(_HEAD) + r"(?:\|.*\n)*")
_HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_BARE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
_UNIONS: Final = (typing.Union, types.UnionType)
_NAMES: Final[Mapping[Any, str]] = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    model.Bind: "host:port",
    model.UnixBind: "unix:path",
}
_ENVIRONMENT: Final = {"type": "string", "pattern": r"\$\{env:[A-Za-z_][A-Za-z0-9_]*\}", "description": "${env:NAME}"}
_PATTERNS: Final = {
    "duration": r"^[0-9]{1,9}(\.[0-9]{1,9})? ?(ms|s|m|h)$",
    "size": r"^[0-9]{1,15} ?(B|KiB|MiB|GiB|)$",
    "rate": r"^[0-9]{1,9}(\.[0-9]{1,9})? ?/ ?(s|m|h)$",
}


def meanings(kind: type[Any]) -> Mapping[str, str]:
    """What each key of a section means: the string under it in the source. Raises LookupError where one is missing."""
    [definition] = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, after in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = after.value if isinstance(after, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                found[statement.target.id] = " ".join(text.value.split())
    for field in attrs.fields(kind):
        if field.name not in found:
            raise LookupError(f"{kind.__name__}.{field.name}: say under it, as a string, what it means")
    return found


def sections(kind: type[Any] = model.Config, path: str = "") -> Iterator[tuple[str, type[Any]]]:
    """Each section by its path (`listeners[].tls`), in the order of the model; one kind may stand at several."""
    yield path or TOP, kind
    for name, hint in hints_of(kind).items():
        inner, listed = _inner(hint)
        if is_section(inner):
            yield from sections(inner, ".".join(filter(None, (path, name))) + ("[]" if listed else ""))


def table(kind: type[Any]) -> str:
    """The rows of a section in Markdown, without the head."""
    rows = []
    for field in attrs.fields(kind):
        hint = hints_of(kind)[field.name]
        meaning = meanings(kind)[field.name].replace("|", "\\|")
        rows.append(f"| `{field.name}` | {_words(hint)} | {_default(field, hint)} | {meaning} |\n")
    return "".join(rows)


def document(text: str) -> str:
    """The document with the tables of its sections made anew: the last table under each heading that names one."""
    known = dict(sections())
    parts = _HEADING.split(text)
    for index in range(1, len(parts), 2):
        kind = known.get(parts[index])
        tables = list(_TABLE.finditer(parts[index + 1]))
        if kind is not None and tables:
            start, end = tables[-1].span()
            parts[index + 1] = parts[index + 1][:start] + _HEAD + table(kind) + parts[index + 1][end:]
        parts[index] = f"## {parts[index]}"
    return "".join(parts)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file. `guardian check` knows more: whether things fit together."""
    kinds = {kind.__name__: kind for _, kind in sections()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Guardian",
        "$ref": "#/$defs/Config",
        "$defs": {name: _section_schema(kind) for name, kind in sorted(kinds.items())},
    }


# --- the type of a key -----------------------------------------------------------------------------------------------


def _inner(hint: Any) -> tuple[Any, bool]:
    """What a key holds in the end, and whether it holds a list of them."""
    hint, _ = _present(hint)
    if get_origin(hint) is tuple:
        return get_args(hint)[0], True
    if get_origin(hint) is Mapping:
        return get_args(hint)[1], False
    return hint, False


def _present(hint: Any) -> tuple[Any, bool]:
    """The hint without None, and whether None was in it."""
    if get_origin(hint) in _UNIONS and type(None) in get_args(hint):
        rest = [part for part in get_args(hint) if part is not type(None)]
        return functools.reduce(operator.or_, rest), True
    return hint, False


def _meta(hint: Any) -> tuple[Any, Meta | None]:
    metas = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Meta)]
    return (get_args(hint)[0], metas[0]) if metas else (hint, None)


def _options(hint: Any) -> list[Any] | None:
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return [member.value for member in hint]
    return None


def _words(hint: Any) -> str:
    """The type of a key in words."""
    hint, _ = _present(hint)
    options = _options(hint)
    if options is not None:
        words = " or ".join(f"`{option}`" for option in options)
    elif get_origin(hint) in _UNIONS:
        words = " or ".join(_words(part) for part in get_args(hint))
    elif get_origin(hint) is tuple:
        words = f"list of {_words(get_args(hint)[0])}s"
    elif get_origin(hint) is Mapping or is_section(hint):
        words = "section"
    else:
        words = _word(hint)
    return words


def _word(hint: Any) -> str:
    """The type of a single value."""
    for kind, word in ((model.Name, "name"), (model.Code, "code"), (model.Tag, "tag")):
        if hint == kind:
            return word
    base, meta = _meta(hint)
    if meta is None:
        return _NAMES[base]
    if meta.description is not None:
        return meta.description
    unit = (meta.extra or {}).get("unit")
    return (unit or _NAMES[base]) + _bounds(meta, unit)


def _bounds(meta: Meta, unit: Any) -> str:
    show = _FORMS.get(unit, "{:g}".format)
    said = [("more than", meta.gt), ("at least", meta.ge), ("less than", meta.lt), ("at most", meta.le)]
    if unit in ("duration", "size"):  # nobody expects one that is not more than nothing
        said = [(words, bound) for words, bound in said if words == "at least" and bound == 0 and unit == "duration"]
    return "".join(f", {words} {show(bound)}" for words, bound in said if bound is not None)


# --- its default -----------------------------------------------------------------------------------------------------


def _default(field: attrs.Attribute[Any], hint: Any) -> str:
    default = field.default
    if default is attrs.NOTHING:
        return "required"
    if default is None:
        return "none"
    items = default if isinstance(default, tuple) else (default,)
    if isinstance(default, attrs.Factory) or any(is_section(type(item)) for item in items):  # type: ignore[arg-type]
        return "see below"
    return f"`{_written(default, hint)}`"


def _written(value: Any, hint: Any) -> str:
    """A value as it would stand in the file."""
    if isinstance(value, tuple):
        return "[" + ", ".join(_written(item, _inner(hint)[0]) for item in value) + "]"
    _, meta = _meta(_present(hint)[0])
    form = _FORMS.get((meta.extra or {}).get("unit")) if meta else None
    if form is not None:
        return form(value)
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:g}"
    text = str(value)
    return text if _BARE.fullmatch(text) or isinstance(value, model.Bind) else json.dumps(text)


def _size(count: int) -> str:
    for unit, length in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= length and count % length == 0:
            return f"{count // length}{unit}"
    return f"{count}B"


_FORMS: Final[Mapping[str | None, Callable[[Any], str]]] = {
    "duration": units.format_duration,
    "rate": units.format_rate,
    "size": _size,
}


# --- its schema ------------------------------------------------------------------------------------------------------


def _section_schema(kind: type[Any], *, partial: bool = False) -> dict[str, Any]:
    fields = attrs.fields(kind)
    made: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            field.name: {"description": meanings(kind)[field.name], **_key_schema(hints_of(kind)[field.name])}
            for field in fields
        },
    }
    required = [field.name for field in fields if field.default is attrs.NOTHING]
    if required and not partial:
        made["required"] = required
    return made


def _key_schema(hint: Any) -> dict[str, Any]:
    hint, optional = _present(hint)
    if optional:
        return {"anyOf": [_value_schema(hint), {"type": "null"}]}
    return _value_schema(hint)


def _value_schema(hint: Any) -> dict[str, Any]:
    if get_origin(hint) in _UNIONS:
        return {"anyOf": [_value_schema(part) for part in get_args(hint)]}
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _value_schema(get_args(hint)[0])}
    if get_origin(hint) is Mapping:
        keys, kind = get_args(hint)
        each = _section_schema(kind, partial=True)
        return {"type": "object", "additionalProperties": False, "properties": {key.value: each for key in keys}}
    if is_section(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}
    return {"anyOf": [_scalar_schema(hint), _ENVIRONMENT]}


def _scalar_schema(hint: Any) -> dict[str, Any]:
    options = _options(hint)
    if options is not None:
        # YAML reads a bare 1.2 as a number; the file may say it either way.
        numbers = [float(option) for option in options if isinstance(option, str) and re.fullmatch(r"[0-9.]+", option)]
        return {"enum": [*options, *numbers]}
    base, meta = _meta(hint)
    unit = (meta.extra or {}).get("unit") if meta else None
    if unit in _PATTERNS:
        written: dict[str, Any] = {"type": "string", "pattern": _PATTERNS[str(unit)]}
        return {"anyOf": [written, {"type": "integer", "minimum": 1}]} if unit == "size" else written
    if base in (model.Bind, model.UnixBind, Path):
        return {"type": "string", "minLength": 1}
    made: dict[str, Any] = {"type": {bool: "boolean", int: "integer", float: "number", str: "string"}[base]}
    if base is str:  # what looks like a number is text where text is wanted
        made["type"] = ["string", "number", "boolean"]
    if meta is not None:
        bounds = {"exclusiveMinimum": meta.gt, "minimum": meta.ge, "exclusiveMaximum": meta.lt, "maximum": meta.le}
        made.update({key: bound for key, bound in bounds.items() if bound is not None})
        if meta.pattern is not None:
            made["pattern"] = meta.pattern
    return made


def schema_text() -> str:
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the tables and the schema of the checkout that this is run in."""
    reference = Path("docs/configuration.md")
    if not reference.is_file():
        sys.exit("run it in the checkout: there is no docs/configuration.md here")
    reference.write_text(document(reference.read_text("utf-8")), "utf-8")
    SCHEMA.write_text(schema_text(), "utf-8")


if __name__ == "__main__":
    main()
