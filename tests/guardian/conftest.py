"""What holds for all tests of the proxy."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_idle_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests keep all cores busy: who waits for an idle one gets as much time as others."""
    monkeypatch.setattr("guardian.apart._IDLE_PATIENCE", 30.0)
