from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from bench import baseline
from bench.__main__ import _table, _verdict
from bench.baseline import Runtime, accept, load, worse

RUNTIME = Runtime(python="3.11.7", machine="x86_64", optimised=False, compiled_by="gcc 12.2.0")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(baseline, "FOLDER", tmp_path / "baselines")
    return tmp_path / "baselines"


def test_what_was_accepted_is_the_baseline_of_that_runtime_only() -> None:
    accept(RUNTIME, {"a": 1000.4, "b": 2000.0})
    assert load(RUNTIME) == {"a": 1000, "b": 2000}
    assert load(attrs.evolve(RUNTIME, python="3.12.0")) is None
    assert load(attrs.evolve(RUNTIME, compiled_by="")) is None
    assert load(attrs.evolve(RUNTIME, compiled_by="gcc 13.1.0")) is None, "its file has the same name"


def test_accepting_one_case_leaves_the_others() -> None:
    accept(RUNTIME, {"a": 1000, "b": 2000})
    accept(RUNTIME, {"b": 3000})
    assert load(RUNTIME) == {"a": 1000, "b": 3000}


def test_more_than_a_tenth_more_is_too_much() -> None:
    known = {"a": 1000.0, "b": 1000.0}
    assert worse({"a": 1100.0, "b": 500.0, "new": 9e9}, known) == []
    assert worse({"a": 1101.0, "b": 1099.0}, known) == ["a"]


def test_the_verdict_is_1_only_where_something_was_compared_and_is_worse(capsys: pytest.CaptureFixture[str]) -> None:
    assert _verdict({"a": 1101.0}, {"a": 1000.0}, RUNTIME) == 1
    assert "more than 10%" in capsys.readouterr().out
    assert _verdict({"a": 1001.0}, {"a": 1000.0}, RUNTIME) == 0
    assert _verdict({"a": 1101.0}, None, RUNTIME) == 0
    assert "no baseline for cpython-3.11.7-plain-x86_64-compiled made by gcc 12.2.0" in capsys.readouterr().out


def test_the_table_names_what_takes_too_much() -> None:
    lines = _table({"a": 1234.0, "b": 10.0, "c": 7.0}, {"a": 1000.0, "b": 10.0}).splitlines()
    assert lines[1].split() == ["a", "1,234", "1,000", "+23.4%", "too", "many"]
    assert lines[2].split() == ["b", "10", "10", "+0.0%"]
    assert lines[3].split() == ["c", "7"]
