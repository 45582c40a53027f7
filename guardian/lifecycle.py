"""Stopping, in the order that loses nobody: word first, then no new clients, then no new requests, then the end."""

from __future__ import annotations

from typing import Final

import structlog
import trio

from balancer.snapshot import ProxyState
from config.model import Shutdown

from .proxy import Proxy

_LOOK_EVERY: Final = 0.02
_LAST_WORDS: Final = 0.3  # seconds for clients to read their last answer and to be told 908


class Drain:
    """Make it when the stop is asked for, and run it; `hurry` when it is asked for again."""

    def __init__(self, proxy: Proxy, settings: Shutdown) -> None:
        self._proxy = proxy
        self._settings = settings
        self._patience = trio.CancelScope()
        self._work = trio.CancelScope()
        self._log = structlog.get_logger()

    def hurry(self) -> None:
        """The first time: no notice, no spread, only what is outstanding. The second time: the end."""
        (self._work if self._patience.cancel_called else self._patience).cancel()

    async def run(self) -> None:
        """Returns when no client is left.

        Requests are answered during the notice and the spread; then 908, until what is outstanding is answered.
        """
        proxy, settings = self._proxy, self._settings
        self._log.info("draining", outstanding=proxy.owed, timeout=settings.timeout)
        proxy.state = ProxyState.DRAINING
        with self._patience:
            await trio.sleep(settings.drain_notice)
        proxy.intake.stop_accepting()
        end = trio.current_time() + settings.timeout
        if settings.spread and not self._patience.cancelled_caught:
            self._patience = trio.CancelScope(deadline=trio.current_time() + settings.spread)
            proxy.intake.spread_clients(settings.spread)
            with self._patience:
                while proxy.intake.clients or proxy.intake.handshaking:
                    await trio.sleep(_LOOK_EVERY)
        self._patience.cancel()
        proxy.intake.refuse_requests()
        self._work.deadline = end
        with self._work:
            while proxy.owed:
                await trio.sleep(_LOOK_EVERY)
            await trio.sleep(_LAST_WORDS)
            proxy.intake.end_clients()
            with trio.move_on_after(_LAST_WORDS):
                while proxy.intake.clients:
                    await trio.sleep(_LOOK_EVERY)
        if self._work.cancelled_caught:
            self._log.warning("drain timed out", outstanding=proxy.owed)
        proxy.intake.close_clients()
