"""The wheel of a small copy of the project, in which one module is compiled."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
WHAT = "import balancer.cost as c; from guardian.installation import data_path; print(data_path(), c.DECAY_EVERY)"


@attrs.frozen
class Built:
    code: int
    said: list[str]  # its lines on stderr
    wheels: list[Path]

    @property
    def extensions(self) -> list[str]:
        with zipfile.ZipFile(self.wheels[0]) as wheel:
            return [name for name in wheel.namelist() if name.endswith(".so")]

    def run(self, folder: Path) -> str:
        """What a process says that runs the wheel's content and nothing of the checkout."""
        with zipfile.ZipFile(self.wheels[0]) as wheel:
            wheel.extractall(folder)
        done = subprocess.run(
            [sys.executable, "-P", "-c", WHAT], cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)},
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy = tmp_path / "project"
    for name in ("balancer", "config", "deploy", "guardian", "health", "loadtest"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "build*/"))
    settings, count = re.subn(
        r"\nmodules = \[.*?\n\]", '\nmodules = ["balancer/cost.py"]', (ROOT / "pyproject.toml").read_text(), flags=re.S
    )
    assert count == 1
    (copy / "pyproject.toml").write_text(settings)
    shutil.copy(ROOT / "README.md", copy)
    return copy


def build(project: Path, **environment: str) -> Built:
    wheels = project.parent / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir()
    inherited = {name: value for name, value in os.environ.items() if name not in {"CC", "GUARDIAN_COMPILE"}}
    done = subprocess.run(
        [sys.executable, "-P", "-c", BUILD, str(wheels)], cwd=project, env=inherited | environment,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return Built(done.returncode, done.stderr.splitlines(), list(wheels.glob("*.whl")))


needs_compiler = pytest.mark.skipif(
    not (
        shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
        and Path(sysconfig.get_path("include"), "Python.h").exists()
    ),
    reason="needs a C compiler and Python's headers",
)


@needs_compiler
def test_it_is_compiled_once_for_the_same_sources_and_a_failure_ends_no_build(project: Path, tmp_path: Path) -> None:
    failed = build(project, CC="false")
    assert failed.code == 0
    assert "compiling failed" in failed.said[-1]
    assert not failed.extensions
    assert failed.run(tmp_path / "failed") == "interpreted 1.0"
    first = build(project)
    assert first.said[-1] == "guardian: the data path is compiled", "the failure was kept"
    assert not first.wheels[0].name.endswith("-none-any.whl")
    assert any(name.startswith("balancer/cost.") for name in first.extensions)
    assert first.run(tmp_path / "first") == "compiled 1.0"
    again = build(project)
    assert again.said == ["guardian: the data path is compiled"], "it was compiled again"
    assert again.extensions == first.extensions
    cost = project / "balancer" / "cost.py"
    cost.write_text(cost.read_text().replace("DECAY_EVERY: Final = 1.0", "DECAY_EVERY: Final = 2.0"))
    assert build(project).run(tmp_path / "changed") == "compiled 2.0"


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"CC": "/no/such/compiler -O2"}, "there is no C compiler /no/such/compiler; on Debian: apt-get install gcc"),
        ({"GUARDIAN_COMPILE": "0"}, "GUARDIAN_COMPILE=0 says so"),
    ],
)
def test_where_it_cannot_be_compiled_one_line_says_why_and_it_runs(
    project: Path, tmp_path: Path, environment: dict[str, str], reason: str
) -> None:
    built = build(project, **environment)
    assert built.code == 0
    (line,) = built.said
    assert "will run interpreted (the same answers, at about" in line
    assert reason in line
    assert built.wheels[0].name.endswith("-none-any.whl")
    assert not built.extensions
    assert built.run(tmp_path / "installed") == "interpreted 1.0"


def test_it_fails_only_where_that_was_asked_for(project: Path) -> None:
    built = build(project, CC="/no/such/compiler", GUARDIAN_COMPILE="1")
    assert built.code != 0
    assert not built.wheels
