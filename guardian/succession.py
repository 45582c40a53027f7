"""The new process's side of an upgrade: takes over what the old one had, and looks after the old one until it ends."""

from __future__ import annotations

import os
import signal
import socket
import struct
from contextlib import suppress
from typing import Any, Final

import structlog
import trio

from balancer.snapshot import Will
from health.state import Health

from .events import Actor, Event, Kind
from .handover import Line
from .notify import Notifier
from .proxy import Proxy
from .reloading import Reloading

_LOOK_EVERY: Final = 0.02  # seconds
_VERDICTS: Final = (Health.DOWN, Health.EJECTED, Health.UNSAFE)
_BEFORE: Final = Actor(name="guardian", source="the process before")
_NOT_YET: Final = "another process hands over to this one: reload when it has"
_A_WAIT: Final = 1.0  # seconds
_SILENT_WAITS: Final = 15  # in a row; counted, so that a machine that stood still is no reason


class Succession:
    """Make it before anything is served. ``ended`` is set when the old process has."""

    def __init__(
        self, proxy: Proxy, reloading: Reloading, manager: Notifier, sock: socket.socket, a_wait: float = _A_WAIT
    ) -> None:
        """``sock``: our end of the line. ``a_wait``: of these, 15 in a row without a word end the old process."""
        self._proxy = proxy
        self._reloading = reloading
        self._manager = manager
        self._pid = _peer(sock)
        self._line = Line(sock)
        self._a_wait = a_wait
        self._told: dict[str, Any] = {}
        self._ours: set[str] = set()  # `group/device`: its will came from an operator here
        self._service = trio.Event()
        self.ended = trio.Event()
        self.outdated = False  # whether the old process serves by another configuration, and was told to end
        self._send, self._receive = trio.open_memory_channel[dict[str, Any]](1000)
        self._log = structlog.get_logger()
        reloading.refused = _NOT_YET

    async def take_over(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Reports when devices are in service as they were; then stays until the old process has ended."""
        await self._line.tell(read=self._reloading.loaded.digest)
        self._told = await self._line.hear() or {}
        self._adopt_wills(self._told)
        while not self._as_before():
            await trio.sleep(_LOOK_EVERY)
        end = self._proxy.events.subscribe(self._note)
        self._reloading.followers.append(self._reloaded)
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._forward)
                await self._listen()
                nursery.cancel_scope.cancel()
        finally:
            end()
            self._line.close()

    async def become_the_service(self) -> None:
        """Say that everything is ready, and wait for the old one's word; or for its end."""
        self.tell(serving=True)
        await self._service.wait()

    def tell(self, **message: Any) -> None:
        """To the old process, in the order of the calls."""
        try:
            self._send.send_nowait(message)
        except trio.WouldBlock:
            self._log.error("the process before does not listen", pid=self._pid)

    def stop(self, why: str) -> None:
        """Let the old process drain, and end."""
        self.tell(end=why)

    async def _listen(self) -> None:
        silent = 0
        while not self.ended.is_set():
            message: dict[str, Any] | None = {}
            with trio.move_on_after(self._a_wait) as scope:
                message = await self._line.hear()
            if message is None:
                self._log.info("the process before has ended", pid=self._pid)
                self.ended.set()
                self._take_the_word()
            elif not scope.cancelled_caught:
                silent = 0
                if message.get("yours"):
                    self._adopt_wills(message)
                    self._take_the_word()
            elif self._service.is_set():
                silent += 1
                if silent == _SILENT_WAITS:
                    self._kill()

    def _take_the_word(self) -> None:
        """For the service, once: later it may have been handed on."""
        if not self._service.is_set():
            self._service.set()
            self._reloading.refused = ""
            self._manager.take_the_word()

    def _kill(self) -> None:
        """It holds the turn of writes, perhaps, and serves by rules that nobody can change."""
        self._log.error(
            "the process before is silent: it is ended", pid=self._pid, seconds=self._a_wait * _SILENT_WAITS
        )
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)  # it has not closed its end, so the number is still its own

    def _reloaded(self, fingerprint: str) -> None:
        if fingerprint != self._told.get("fingerprint") and not self.outdated:
            self.outdated = True
            self.stop("another configuration was loaded")

    def _adopt_wills(self, message: dict[str, Any]) -> None:
        for group in self._proxy.devices:
            wills = message.get("wills", {}).get(group.name, {})
            for device in group.devices:
                will = Will(wills.get(device.name, device.will.value))
                if will is not device.will and f"{group.name}/{device.name}" not in self._ours:
                    with suppress(LookupError):  # it is leaving
                        self._proxy.set_will(group.name, device.name, will, _BEFORE, vouched=False)

    def _as_before(self) -> bool:
        """Whether each device that served the old process serves this one, or has been found not to be fit."""
        served = self._told.get("in_service", {})
        for group in self._proxy.devices:
            before = served.get(group.name, ())
            if before and not group.scheduler.serving:
                return False
            for device in group.devices:
                if device.name in before and not device.serving and device.health not in _VERDICTS:
                    return False
        return True

    def _note(self, event: Event) -> None:
        if event.kind is Kind.WILL and event.source != _BEFORE.source:
            self._ours.add(event.what)
            group, _, device = event.what.partition("/")
            self.tell(will=[group, device, event.result, event.who])

    async def _forward(self) -> None:
        async for message in self._receive:
            await self._line.tell(**message)


def _peer(sock: socket.socket) -> int:
    """Who made the pair: the process before."""
    pid: int = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return pid
