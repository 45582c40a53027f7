"""Commands of operators read the configuration of a service whose keys systemd holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guardian.commands.credentials import environment


def test_the_credentials_of_the_service_are_taken_by_who_may_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert environment(tmp_path)["CREDENTIALS_DIRECTORY"] == str(tmp_path)
    assert "CREDENTIALS_DIRECTORY" not in environment(tmp_path / "not running")
    assert "CREDENTIALS_DIRECTORY" not in os.environ

    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/etc/guardian/keys")
    assert environment(tmp_path)["CREDENTIALS_DIRECTORY"] == "/etc/guardian/keys"
