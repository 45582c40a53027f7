from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.configs import load_text

TEXT = """\
listeners: [{name: a, bind: "127.0.0.1:0", group: g, tls: {mode: clear}, limits: {connections: LISTENER}}]
groups:
  - name: g
    tls: {mode: clear}
    devices: [{name: d1, address: "hsm1:9100", role: primary, connections: DEVICE, private: PRIVATE}]
workers: WORKERS
"""


def told(folder: Path, workers: str, listener: int, device: int, private: int) -> list[str]:
    text = TEXT.replace("WORKERS", workers).replace("LISTENER", str(listener)).replace("DEVICE", str(device))
    found = load_text(folder, text.replace("PRIVATE", str(private)))
    assert found.config is not None
    return [each.path for each in found.problems if "workers" in each.message and each.severity == "warning"]


@pytest.mark.parametrize(
    ("listener", "device", "private", "keys"),
    [
        (4, 4, 4, []),
        (4, 4, 0, []),  # switched off
        (3, 4, 4, ["listeners.a.limits.connections"]),
        (4, 3, 1, ["groups.g.devices.d1.connections", "groups.g.devices.d1.private"]),
    ],
)
def test_a_limit_that_not_every_worker_can_have_one_of_is_warned_of(
    tmp_path: Path, listener: int, device: int, private: int, keys: list[str]
) -> None:
    assert told(tmp_path, "4", listener, device, private) == keys


@pytest.mark.parametrize("workers", ["1", "auto"])
def test_one_process_keeps_every_limit_and_what_auto_comes_to_is_not_known_here(tmp_path: Path, workers: str) -> None:
    assert told(tmp_path, workers, 1, 1, 1) == []
