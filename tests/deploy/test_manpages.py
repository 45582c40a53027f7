"""A page for each command, that says what `--help` says, and that roff understands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from guardian import cli

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("man")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SOURCE_DATE_EPOCH": "1790000000"}
    subprocess.run(
        [sys.executable, "deploy/manpages.py", str(folder)], cwd=ROOT, env=environment, check=True, timeout=60
    )
    return {page.name: page.read_text() for page in folder.iterdir()}


def test_every_command_has_a_page_that_the_programs_own_names(pages: dict[str, str]) -> None:
    for name in cli.COMMANDS:
        assert f".BR guardian\\-{name} (1)" in pages["guardian.1"]
        assert f"guardian-{name}.1" in pages
    assert "guardian-device-drain.1" in pages
    assert '"2026-09-21" "Guardian' in pages["guardian.1"]


def test_options_and_exit_codes_are_in_it(pages: dict[str, str]) -> None:
    page = pages["guardian-device-drain.1"]
    assert ".B \\-\\-timeout DURATION\nHow long to wait." in page
    assert ".B 3\nThe proxy cannot be reached." in page


def test_roff_finds_nothing_wrong(pages: dict[str, str], tmp_path: Path) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("needs mandoc")
    for name, text in pages.items():
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in pages]
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *files], capture_output=True, text=True, check=False
    )
    found = [line for line in done.stdout.splitlines() if "referenced manual not found" not in line]
    assert found == []


def test_lines_that_are_examples_stay_lines(pages: dict[str, str]) -> None:
    page = pages["guardian-completion.1"]
    assert ".nf\n  guardian completion bash > /etc/bash_completion.d/guardian\n" in page
