"""What other workers wrote is known before requests are handled."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from guardian.proxy import Proxy
from guardian.workers.board import Board, Place


class Listening:
    """Stands for a group and what it knows of devices that are behind."""

    def __init__(self) -> None:
        self.heard = 0
        self.fault: Exception | None = None
        behind = SimpleNamespace(listen=self._listen)
        self.group = SimpleNamespace(writes=SimpleNamespace(behind=behind))

    def _listen(self) -> None:
        self.heard += 1
        if self.fault is not None:
            raise self.fault


def test_each_journal_is_looked_into_before_a_batch_but_not_without_end(
    boards: list[Board], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    proxy = Proxy(clock=lambda: now[0], place=Place(boards[0], 1))
    groups: Any = {"payments": Listening(), "issuing": Listening()}
    monkeypatch.setattr(proxy, "_groups", groups)
    faults: list[BaseException] = []
    monkeypatch.setattr(proxy, "_handler_failed", faults.append)
    look = proxy.reactor.look
    assert look is not None
    groups["payments"].fault = ValueError("a fault of ours")
    for _ in range(3):
        look()
    assert (groups["payments"].heard, groups["issuing"].heard, len(faults)) == (1, 1, 1)
    now[0] += 0.002
    look()
    assert groups["issuing"].heard == 2
    proxy.reactor.close()
