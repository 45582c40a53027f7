"""What several of these tests share: made once, since it takes long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guardian.pki import PkiFiles, make_pki
from tests.support.machines import ROOT


@pytest.fixture(scope="session")
def wheels() -> Path:
    """A folder with the wheel of this checkout."""
    found = sorted(Path(ROOT, "build", "wheel").glob("*.whl"))
    if not found:
        pytest.skip("no wheel in build/wheel; make setup makes it")
    return found[0].parent


@pytest.fixture(scope="session")
def package(wheels: Path) -> Path:
    """The Debian package, as deploy/debian/build.sh makes it."""
    done = subprocess.run(
        ["sh", "deploy/debian/build.sh"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        env=os.environ | {"BIN": str(Path(sys.executable).parent), "WHEELS": str(wheels)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return ROOT / done.stdout.split()[-1]


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PkiFiles:
    return make_pki(
        tmp_path_factory.mktemp("pki") / "files",
        algorithm="ecdsa",
        clients=["app1"],
        devices={"Production": ["Production"]},
        server_hosts=["127.0.0.1", "localhost", "guardian"],
    )
