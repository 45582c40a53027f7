"""A short run of the harness that `make soak` runs for minutes; and it finds a proxy that is set up wrongly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.histories import Promises
from tests.support.jepsen import Plan, perform, report

# Where RKLG is a login, no catalogue can make it a read: `guardian check` would refuse that.
LOGS_IN_OTHERWISE = "    sessions: {login: [{command: ZZLG, success: {tag: AN, value: Y}}]}\n"
DEEDS = {"is killed", "hangs", "loses its connections", "is unreliable", "the proxy is killed"}
CODES = ("ECHO", "RAND", "RKLG", "GPKA", "HMAC", "ERRO 901")
NONE = Promises(sessions=False, writes=False, likeness=False)


async def test_nothing_is_violated_and_everything_was_tried(tmp_path: Path) -> None:
    deeds: set[str] = set()
    counts: Counter[str] = Counter()
    for seconds in (8.0, 15.0, 30.0):  # what chance does not bring soon, it brings later
        folder = tmp_path / str(seconds)
        folder.mkdir()
        result = await perform(Plan(seconds, seed=7, pace=0.3), folder)
        print(report(result))
        assert not result.violations, report(result)
        assert result.settled
        deeds |= {text.partition(" ")[2] if text.startswith("hsm") else text for _, text in result.diary}
        counts += result.counts
        if deeds >= DEEDS and all(counts[code] > 5 for code in CODES):
            break
    assert deeds >= DEEDS
    assert all(counts[code] > 5 for code in CODES), counts


@pytest.mark.parametrize(
    ("wrong", "group", "deeds", "checkers"),
    [
        (
            "{name: RKLG, effect: read}",
            LOGS_IN_OTHERWISE,
            ("kill",),
            {"nobody_borrows_a_login", "connections_have_one_identity"},
        ),
        ("{name: TIME, effect: read}", None, ("trouble",), {"successes_reach_the_quorum"}),
    ],
    ids=["logins on shared connections", "writes sent again"],
)
async def test_it_finds_a_proxy_that_takes_a_login_or_a_write_for_a_read(
    tmp_path: Path, wrong: str, group: str | None, deeds: tuple[str, ...], checkers: set[str]
) -> None:
    found: set[str] = set()
    for seconds in (4.0, 10.0, 30.0):  # what chance does not strike soon, it strikes later
        folder = tmp_path / str(seconds)
        folder.mkdir()
        (folder / "commands.yaml").write_text(f"commands:\n  - {wrong}\n")
        elsewhere = "catalogue: commands.yaml\n"
        plan = Plan(seconds, seed=7, promises=NONE, group=group, elsewhere=elsewhere, pace=0.2, deeds=deeds)
        found |= {violation.checker for violation in (await perform(plan, folder)).violations}
        if checkers <= found:
            break
    assert checkers <= found
