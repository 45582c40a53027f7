"""A configuration as it was read: the same again when it is read, and nothing of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.dump import as_plain, as_yaml
from config.loader import load
from tests.support.configs import EXAMPLE

ODD = """\
listeners: &all
  - {name: "0755", bind: "127.0.0.1:1", group: 'no', tls: {mode: clear}}
groups:
  - name: "no"
    tls: {mode: clear}
    ping: {request: "[AOECHO;AGping;]"}
    functions: {block: [GPKD, "TIME"], allow: ["*"]}
    devices:
      - {name: yes, address: "[::1]:9100", role: primary, weight: 2}
errors: {busy: {text: "BUSY: come back, # later"}}
"""


@pytest.mark.parametrize("text", [EXAMPLE, ODD])
def test_read_again_it_means_the_same(text: str, tmp_path: Path) -> None:
    path, again = tmp_path / "guardian.yaml", tmp_path / "again.yaml"
    path.write_text(text)
    loaded = load(path)
    assert loaded.config is not None, loaded.problems
    assert loaded.source is not None
    again.write_text(as_yaml(loaded.source))
    assert load(again).config == loaded.config


def test_what_comes_from_the_environment_is_nowhere_in_it(tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text(ODD.replace("weight: 2", 'weight: "${env:CANARY}"').replace("127.0.0.1:1", "${env:OTHER}"))
    loaded = load(path, environment={"CANARY": "77.25", "OTHER": "198.51.100.7:4711"})
    assert loaded.config is not None, loaded.problems
    assert loaded.config.groups[0].devices[0].weight == 77.25
    assert loaded.source is not None
    shown = as_yaml(loaded.source) + str(as_plain(loaded.source))
    assert "${env:CANARY}" in shown
    assert not [value for value in ("77.25", "198.51.100.7", "4711") if value in shown]
    assert "198.51.100.7" not in repr(loaded.source)
