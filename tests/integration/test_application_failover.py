"""Applications that have logged in go on through the loss of a device, whichever it is, with the keys they made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from guardian.pki import PkiFiles
from tests.support.applications import ssh, vault, vsec_cms
from tests.support.applied import NAMES, Life, Stage, stage

HSM = """
    sessions: {login: [{command: RKLG, success: {tag: AN, value: Y}}]}
    writes: {mode: replicate, quorum: majority, nondeterministic: stale, primary_loss: promote}
"""
# What is allowed of RKRL here changes nothing, so the catalogue calls it a read: it is balanced, and asked again.
KMES = """
    type: kms
    sessions: {login: [{command: RKLG, success: {tag: AN, value: Y}}]}
    nested: {RKRL: {tag: NC}}
    functions: {mode: enforce, allow: [ECHO, RKLG, RKRL/PUBK, RKRL/SIGN]}
"""
KMES_CATALOGUE = "commands:\n  - {name: RKRL, effect: read}\n"

LIVES = pytest.mark.parametrize("life", [vault, vsec_cms, ssh], ids=["vault", "vsec-cms", "ssh"])


def killing(on: Stage, name: str, *, back: bool) -> Callable[[], Awaitable[None]]:
    """Take the device away in the quiet between two requests; with `back` it returns before the next one."""

    async def killed() -> None:
        await on.world.devices[name].kill()
        if back:
            await on.world.devices[name].restart()

    return killed


@LIVES
@pytest.mark.parametrize(
    ("lost", "back"), [(NAMES[0], False), (NAMES[1], True), (NAMES[2], False)], ids=["primary", "restarted", "lost"]
)
async def test_an_application_goes_on_when_a_device_is_lost(
    pki: PkiFiles, tmp_path: Path, life: Life, lost: str, back: bool
) -> None:
    kmes = life is ssh
    async with stage(pki, tmp_path, life, group=KMES if kmes else HSM, catalogue=KMES_CATALOGUE if kmes else "") as on:
        assert await on.live(life, killing(on, lost, back=back)) == 16
        assert on.served() == set(NAMES), "the application was not balanced"
        assert not on.strangers()


@LIVES
async def test_a_device_that_comes_back_empty_serves_no_application(pki: PkiFiles, tmp_path: Path, life: Life) -> None:
    if life is ssh:
        pytest.skip("a KMES has no key table that the proxy could look at")
    likeness = (
        'identity: {probes: [{request: "[AOGPKM;]", compare: body}], interval: 1s, timeout: 500ms, action: enforce}\n'
    )
    async with stage(pki, tmp_path, life, group=f"{HSM}    {likeness}") as on:

        async def emptied() -> None:
            await on.world.devices["hsm2"].restart(empty_keys=True)

        assert await on.live(life, emptied) == 16
        missed = [record for record in on.world.devices["hsm2"].journal if record.missed_a_key]
        assert not [record for record in missed if life is not vsec_cms or record.code != "GPSE"]
