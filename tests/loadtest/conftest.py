from __future__ import annotations

import shutil

import pytest

from loadtest.compare.pki import Pki, make_pki
from loadtest.native.programs import BuildError, Programs, build


@pytest.fixture(scope="session")
def native_programs() -> Programs:
    """The native programs, built. Skips where there is no compiler or OpenSSL's headers are missing."""
    if shutil.which("cc") is None or shutil.which("make") is None:
        pytest.skip("no C compiler: the native load programs are not tested")
    try:
        return build()
    except BuildError as exc:
        if "libssl-dev" in str(exc):
            pytest.skip(f"no OpenSSL headers: the native load programs are not tested ({str(exc).splitlines()[0]})")
        raise


@pytest.fixture(scope="session")
def compare_pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))
