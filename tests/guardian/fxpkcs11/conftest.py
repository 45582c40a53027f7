"""Certificates, made once: RSA keys take time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.client_files import Files, make_files


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("clients"))


@pytest.fixture
def files(made: Files, tmp_path: Path) -> Files:
    """A folder of its own, with the certificates of all."""
    (tmp_path / "pki").symlink_to(made.pki)
    return Files(tmp_path, made.ca)
