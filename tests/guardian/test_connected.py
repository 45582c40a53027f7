"""Ten thousand clients are looked at without keeping the loop from anybody."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import trio

from guardian.connected import clients


def listener(count: int) -> Any:
    client = SimpleNamespace(peer=None, address="192.0.2.9", kind="shared", connected_at=5.0, owed=0, requests=7)
    return SimpleNamespace(
        clients=[client] * count,
        terms=SimpleNamespace(settings=SimpleNamespace(name="excrypt")),
        group_name="payments",
    )


async def test_everybody_else_has_a_turn_after_a_hundred() -> None:
    turns = 0
    over = False

    async def work() -> None:
        nonlocal turns
        while not over:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        found = await clients([listener(10_000), listener(1)], 1_790_000_000.0)
        over = True
    assert len(found) == 10_001
    assert turns >= 100
    assert found[0] == (None, None, "192.0.2.9", "excrypt", "payments", "shared", 1_790_000_005.0, 0, 7)
