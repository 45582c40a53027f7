"""Stopping: no new clients, then what is outstanding, then everything else."""

from __future__ import annotations

from typing import Final

import structlog
import trio

from .proxy import Proxy

_LOOK_EVERY: Final = 0.02
_LAST_WORDS: Final = 0.3  # seconds for clients to read their last answer and to be told 908


async def drain(proxy: Proxy, timeout: float) -> None:
    """Stop taking clients and requests, and wait for outstanding answers, ``timeout`` seconds at most.

    Requests that still arrive are answered 908.
    """
    log = structlog.get_logger()
    log.info("draining", outstanding=proxy.owed, timeout=timeout)
    proxy.stop_intake()
    with trio.move_on_after(timeout) as scope:
        while proxy.owed:
            await trio.sleep(_LOOK_EVERY)
        await trio.sleep(_LAST_WORDS)
        proxy.end_clients()
        with trio.move_on_after(_LAST_WORDS):
            while proxy.clients:
                await trio.sleep(_LOOK_EVERY)
    if scope.cancelled_caught:
        log.warning("drain timed out", outstanding=proxy.owed)
    proxy.close_clients()
