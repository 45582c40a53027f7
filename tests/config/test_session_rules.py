from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.configs import load_text

TEXT = """\
listeners: [{name: a, bind: "127.0.0.1:0", group: g, tls: {mode: clear}}]
groups:
  - name: g
    tls: {mode: clear}
    sessions: SESSIONS
    devices: [{name: d1, address: "hsm1:9100", role: primary}]
"""


@pytest.mark.parametrize(
    ("sessions", "key"),
    [
        ("{login: [{command: ECHO, success: {tag: AN, value: Y}}]}", "groups.g.sessions.login[0].command"),
        ("{logout: [ECHO]}", "groups.g.sessions.logout[0]"),
    ],
)
def test_a_login_that_would_travel_on_shared_connections_is_refused(tmp_path: Path, sessions: str, key: str) -> None:
    found = load_text(tmp_path, TEXT.replace("SESSIONS", sessions))
    [problem] = [each for each in found.problems if each.severity == "error"]
    assert problem.path == key
    assert "effect session" in problem.message


def test_an_unknown_command_may_log_in_and_out(tmp_path: Path) -> None:
    text = TEXT.replace("SESSIONS", "{login: [{command: ZZLG, success: {tag: AN, value: Y}}], logout: [ZZLO]}")
    assert load_text(tmp_path, text).config is not None
