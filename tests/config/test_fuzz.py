"""Whatever the file holds: no exception, and either a configuration or an error."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.loader import Loaded, load
from tests.support.configs import EXAMPLE

LINES = EXAMPLE.splitlines(keepends=True)
TOKENS = re.findall(r"[A-Za-z0-9_./:-]+|\s+|.", EXAMPLE)
KEYS = [*sorted(set(re.findall(r"[a-z_]+(?=:)", EXAMPLE))), "errors", "catalogue", "logs", "fingerprint", "san"]
NASTY = ["no", "0755", "12:30:45", "~", "null", "true", "-1", "0", "1e400", "9" * 30, "", "{}", "[]", "[[]]", "{a: {}}",
         "'x'", "!!python/object:os.system x", "&a", "*a", "${env:HOME}", "${", "\x00", "\t", "é", "- ", ": ", "#", "|",
         "sha256:" + "0" * 64, "../..", "/dev/null", "*", "category:", "Excrypt:", "[AOECHO;]"]  # fmt: skip

quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def file() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "guardian.yaml"


def check(file: Path, content: bytes, *, read_files: bool = False) -> Loaded:
    file.write_bytes(content)
    loaded = load(file, read_files, environment={"HOME": "a-home-value"})
    assert (loaded.config is None) == bool(loaded.errors)
    lines = (
        content.count(b"\n") + content.count(b"\r") + 4 * content.count(b"\xe2\x80") + content.count(b"\xc2\x85") + 1
    )
    for problem in loaded.problems:
        text = str(problem)
        assert re.fullmatch(r"[^\n\r\x1b]*:[0-9]+: [^\n\r\x1b]+: [^\n\r\x1b]+", text), text
        assert 1 <= problem.line <= lines + 1
        assert "a-home-value" not in text
    return loaded


@given(st.binary(max_size=300))
@quick
def test_any_bytes(file: Path, content: bytes) -> None:
    assert check(file, content).config is None


@given(st.text(alphabet=st.sampled_from(":-[]{}&*!|>'\"%@`,?#\n\t ab1~<"), max_size=120))
@quick
def test_any_yaml_punctuation(file: Path, content: str) -> None:
    assert check(file, content.encode()).config is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(NASTY),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["listeners", "groups", "admin", "errors", "workers", *KEYS]), values, max_size=6)
)
@quick
def test_any_data_under_known_keys(file: Path, data: dict[str, Any]) -> None:
    assert check(file, yaml.safe_dump(data).encode()).config is None


@given(st.data())
@quick
def test_good_file_with_its_parts_replaced_by_any_value(file: Path, data: st.DataObject) -> None:
    tree = yaml.safe_load(EXAMPLE)
    for _ in range(data.draw(st.integers(1, 3))):
        node: Any = tree
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if not isinstance(node[key], (dict, list)) or data.draw(st.booleans()):
                if data.draw(st.booleans()):
                    node[key] = data.draw(values)
                else:
                    del node[key]
                break
            node = node[key]
    check(file, yaml.safe_dump(tree).encode(), read_files=True)


@given(st.lists(st.tuples(st.integers(0, len(TOKENS) - 1), st.sampled_from(NASTY + KEYS)), min_size=1, max_size=3))
@quick
def test_good_file_with_words_replaced(file: Path, edits: list[tuple[int, str]]) -> None:
    tokens = list(TOKENS)
    for place, text in edits:
        tokens[place] = text
    check(file, "".join(tokens).encode())


@given(st.lists(st.integers(0, len(LINES) - 1), max_size=4), st.lists(st.integers(0, len(LINES) - 1), max_size=2))
@quick
def test_good_file_with_lines_lost_and_repeated(file: Path, lost: list[int], repeated: list[int]) -> None:
    text = "".join(line * (1 + repeated.count(n)) for n, line in enumerate(LINES) if n not in lost)
    check(file, text.encode())


@given(st.integers(0, len(EXAMPLE)))
@quick
def test_good_file_cut_anywhere(file: Path, end: int) -> None:
    check(file, EXAMPLE[:end].encode())
