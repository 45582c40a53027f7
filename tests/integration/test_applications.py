"""The lives of three applications through the proxy, over mutual TLS."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from guardian.pki import PkiFiles
from tests.support.applications import ssh, vault, vsec_cms
from tests.support.applied import Life, stage

LIVES = pytest.mark.parametrize("life", [vault, vsec_cms, ssh], ids=["vault", "vsec-cms", "ssh"])
# Keys are where they were made: a client that has logged in stays there.
HSM = """
    sessions: {replay: false}
"""
KMES = """
    type: kms
    functions: {mode: enforce, allow: [ECHO, RKLG, RKRL]}
"""


@LIVES
async def test_an_application_lives_through_the_proxy(pki: PkiFiles, tmp_path: Path, life: Life) -> None:
    async with stage(pki, tmp_path, life, group=KMES if life is ssh else HSM) as on:
        assert await on.live(life, trio.lowlevel.checkpoint) == 16
        assert on.served()
        assert not on.strangers()
