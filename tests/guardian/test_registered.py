"""Entry points, without what importing `importlib.metadata` costs."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from guardian.registered import registered


@pytest.mark.parametrize("group", ["guardian.commands", "console_scripts", "pytest11"])
def test_they_are_those_that_the_library_finds(group: str) -> None:
    found = registered(group)
    assert found
    assert found == {point.name: point.value for point in entry_points(group=group)}


def test_the_first_on_the_path_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, value in (("a", "one:x"), ("b", "two:y")):
        package = tmp_path / folder / "some-1.dist-info"
        package.mkdir(parents=True)
        (package / "entry_points.txt").write_text(f"[other]\nname = no:no\n[our.group]\n# a = b:c\nname={value}\n")
    zipped = tmp_path / "zipped.zip"
    zipped.write_bytes(b"")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "none"), str(zipped), str(tmp_path / "a"), str(tmp_path / "b")])
    assert registered("our.group") == {"name": "one:x"}
    assert registered("nobody") == {}
