"""The JSON Schema that editors use: it takes what the loader takes, and finds the mistakes that typing makes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from config.reference import SCHEMA, schema, schema_text

EXAMPLE = (Path(__file__).parents[2] / "deploy" / "guardian.example.yaml").read_text()
SMALLEST = """
listeners: [{name: excrypt, bind: "127.0.0.1:9100", group: payments}]
groups: [{name: payments, devices: [{name: hsm1, address: "10.0.8.30:9100", role: primary}]}]
"""


@cache
def validator() -> Draft202012Validator:
    return Draft202012Validator(schema())


def problems(text: str) -> list[str]:
    return [error.json_path for error in validator().iter_errors(yaml.safe_load(text))]


def test_the_schema_in_the_package_is_that_of_the_model() -> None:
    assert SCHEMA.read_text("utf-8") == schema_text(), "run `make reference`"


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(json.loads(SCHEMA.read_text("utf-8")))


@pytest.mark.parametrize("text", [EXAMPLE, SMALLEST], ids=["example", "smallest"])
def test_it_takes_what_is_right(text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize(
    "more",
    [
        "workers: 1",
        "workers: 64",
        "workers: auto",
        "admin: {bind: \"${env:ADMIN}\", buckets: [1ms, 0.5s]}",
        "errors: {busy: {number: 17}}",
        "catalogue: ~",
        "logs: {level: debug}",
        "shutdown: {timeout: \"${env:PATIENCE}\"}",
    ],
)  # fmt: skip
def test_it_takes_every_way_to_write_a_value(more: str) -> None:
    assert problems(f"{SMALLEST}\n{more}") == []


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ("worker: 1", "$"),
        ("workers: many", "$.workers"),
        ("workers: 65", "$.workers"),
        ("shutdown: {timeout: 30}", "$.shutdown.timeout"),
        ("shutdown: {timeout: 30 seconds}", "$.shutdown.timeout"),
        ("errors: {bussy: {number: 17}}", "$.errors"),
        ("errors: {busy: {number: -1}}", "$.errors.busy.number"),
        ("logs: {level: loud}", "$.logs.level"),
        ("logs: [debug]", "$.logs"),
        ("admin: {buckets: 5ms}", "$.admin.buckets"),
    ],
)
def test_it_finds_what_is_wrong_and_where(more: str, where: str) -> None:
    assert problems(f"{SMALLEST}\n{more}") == [where]


@pytest.mark.parametrize(
    ("right", "wrong", "where"),
    [
        ("role: primary", "role: first", "$.groups[0].devices[0].role"),
        ("name: hsm1,", "", "$.groups[0].devices[0]"),
        ("name: hsm1", "name: -hsm1", "$.groups[0].devices[0].name"),
        ("group: payments", "group: payments, limits: {message: 256KB}", "$.listeners[0].limits.message"),
        ("role: primary", "weight: 0", "$.groups[0].devices[0].weight"),
    ],
)
def test_it_finds_it_deep_inside_too(right: str, wrong: str, where: str) -> None:
    assert right in SMALLEST
    assert problems(SMALLEST.replace(right, wrong)) == [where]


def test_every_key_says_what_it_means() -> None:
    def keys(part: Any) -> list[dict[str, Any]]:
        found = list(part.get("properties", {}).values())
        return found + [each for value in found for each in keys(value)]

    told = [key for kind in schema()["$defs"].values() for key in keys(kind)]
    assert len(told) > 100
    assert all(key.get("description") or key.get("type") == "object" for key in told)
