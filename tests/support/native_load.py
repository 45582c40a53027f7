"""The native load programs, for tests that run them."""

from __future__ import annotations

import shutil

import pytest

from loadtest.native.programs import BuildError, Programs, build


def build_or_skip() -> Programs:
    """Build what is out of date. Skips the test where there is no C compiler or OpenSSL's headers are missing."""
    if shutil.which("cc") is None or shutil.which("make") is None:
        pytest.skip("no C compiler or no make: the native load programs are not tested")
    try:
        return build()
    except BuildError as exc:
        if "libssl-dev" in str(exc):
            pytest.skip("no OpenSSL headers: the native load programs are not tested")
        raise
