from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.site import Site
from tests.support.tls import authority


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, authority())
