"""Signs of life for the service manager: a status line, and a watchdog that is fed only while everything moves."""

from __future__ import annotations

import select
import socket
from typing import Final, Protocol

import structlog
import trio

from .listener import Listener
from .logs import RateLimited
from .proxy import Proxy
from .pulse import Pulse

_STATUS_EVERY: Final = 1.0  # seconds
_COMPLAIN_EVERY: Final = 10.0  # seconds


class Manager(Protocol):
    """Whoever wants to know."""

    def status(self, text: str) -> None: ...

    def alive(self) -> None: ...


class Wellbeing:
    """Run `run` in a nursery, which itself shows that trio's loop goes round."""

    def __init__(self, proxy: Proxy, manager: Manager, interval: float | None) -> None:
        """``interval``: seconds between two signs of life; None where nobody wants any."""
        self._proxy = proxy
        self._manager = manager
        self._interval = interval
        self._accepting: dict[Listener, int] = {}  # turns of each accept loop at the last look
        self._complaints = RateLimited(_COMPLAIN_EVERY)
        self._log = structlog.get_logger()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_status)
            if self._interval is not None:
                nursery.start_soon(self._feed, self._interval)

    async def _tell_status(self) -> None:
        while True:
            self._manager.status(status(self._proxy))
            await trio.sleep(_STATUS_EVERY)

    async def _feed(self, interval: float) -> None:
        pulse = Pulse(self._proxy.reactor)
        before: set[str] = set()
        try:
            while True:
                listeners = self._proxy.intake.listeners
                now = {listener.terms.settings.name for listener in listeners if self._hangs(listener)}
                if not pulse.felt():
                    now.add("the reactor")
                stuck, before = sorted(now & before), now  # once may be a busy moment
                if not stuck:
                    self._manager.alive()
                elif self._complaints.admit(trio.current_time()) is not None:
                    self._log.error("the watchdog is not fed: something does not move", stuck=stuck)
                pulse.beat()
                await trio.sleep(interval)
        finally:
            pulse.close()

    def _hangs(self, listener: Listener) -> bool:
        """Whether its accept loop has neither gone round since the last look nor waits for somebody to come."""
        before, self._accepting[listener] = self._accepting.get(listener), listener.turns
        if before is None or before != listener.turns or listener.socket.fileno() < 0:
            return False
        return not listener.waiting or _readable(listener.socket)


def status(proxy: Proxy) -> str:
    """One line for `systemctl status`."""
    groups = (f"{name}: {serving} of {count} devices in service" for name, serving, count in proxy.in_service)
    return f"{proxy.state.value} {', '.join(groups)}"


def _readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
