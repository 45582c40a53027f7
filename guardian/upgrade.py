"""An upgrade: this process starts the command anew, and hands over to it once it serves; else all stays as it was."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import structlog
import trio

from balancer.snapshot import ProxyState, Will
from config.model import Upgrade
from health.state import Health

from .events import Actor, Event, Kind
from .handover import Bequest, Line, line_pair
from .notify import Notifier
from .proxy import Proxy

_LOOK_EVERY: Final = 0.02  # seconds
_VERDICTS: Final = (Health.DOWN, Health.EJECTED, Health.UNSAFE)


class UpgradeFailed(Exception):  # noqa: N818 - named for what happened
    """The text says why, for people. This process serves as before."""


class Upgrading:
    """Hands over, once. ``line`` is there when it has, and the new process is the service."""

    def __init__(self, proxy: Proxy, manager: Notifier, admin: Callable[[], Iterable[socket.socket]]) -> None:
        """``admin``: the admin port's listening sockets."""
        self._proxy = proxy
        self._manager = manager
        self._admin = admin
        self._busy = False
        self._log = structlog.get_logger()

    async def hand_over(self, settings: Upgrade, by: Actor) -> Line | None:
        """Returns when the new process serves, the line to it; or, nothing changed and the reason told, None."""
        if self._busy:
            self._log.warning("an upgrade is under way already")
            return None
        self._busy = True
        self._log.info("upgrading", command=sys.orig_argv)
        try:
            return await self._hand_over(settings, by)
        except (UpgradeFailed, OSError) as exc:
            self._proxy.events.tell(Kind.UPGRADE, "guardian", "failed", by=by, detail=str(exc))
            self._log.error("upgrade failed, this process goes on", reason=str(exc))
            return None
        finally:
            self._busy = False

    async def _hand_over(self, settings: Upgrade, by: Actor) -> Line:
        """Raises UpgradeFailed, OSError."""
        if self._proxy.state is not ProxyState.SERVING:
            raise UpgradeFailed(f"the proxy is {self._proxy.state.value}")
        if os.getpid() == 1:
            raise UpgradeFailed("it is process 1, with which its container ends: start another container")
        line, theirs = line_pair()
        with theirs:
            bequest = Bequest(
                sockets=[*self._proxy.sockets, *(("admin", sock) for sock in self._admin())],
                owners=self._proxy.share_writes(),
                line=theirs,
            )
            process = await trio.lowlevel.open_process(
                sys.orig_argv, pass_fds=bequest.descriptors, env=bequest.environment(os.environ)
            )
        try:
            await line.tell(**_what_holds(self._proxy))
            with trio.move_on_after(settings.ready) as scope:
                await _until_it_serves(line, process)
            if scope.cancelled_caught:
                raise UpgradeFailed("the new process did not serve within upgrade.ready")  # noqa: TRY301 - ends it below
        except BaseException:
            line.close()
            process.kill()  # it has no clients
            with trio.CancelScope(shield=True):
                await process.wait()
            raise
        self._manager.main_process(process.pid)
        self._manager.silent = True
        self._proxy.events.tell(Kind.UPGRADE, "guardian", "handed over", by=by, detail=f"to process {process.pid}")
        self._log.info("handed over", pid=process.pid)
        await line.tell(yours=True)
        return line


async def _until_it_serves(line: Line, process: trio.Process) -> None:
    """Raises UpgradeFailed where it ends before."""
    while True:
        message = await line.hear()
        if message is None:
            code = await process.wait()
            raise UpgradeFailed(f"the new process ended with exit code {code}; what it said is in the log")
        if message.get("serving"):
            return


async def obey(line: Line, proxy: Proxy) -> None:
    """What operators tell the new process holds in the old one too. Returns when that has ended."""
    while (message := await line.hear()) is not None:
        will = message.get("will")
        if will is not None:
            group, device, wanted, who = will
            by = Actor(name=who, source="the process that took over")
            with suppress(LookupError):  # a reload there has added it
                proxy.set_will(group, device, Will(wanted), by)


class Succession:
    """The new process's side."""

    def __init__(self, proxy: Proxy, manager: Notifier, line: Line) -> None:
        self._proxy = proxy
        self._manager = manager
        self._line = line
        self._told: dict[str, Any] = {}

    async def take_over(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Reports when devices are in service as they were; then, `serving` told, stays until the old process ends."""
        self._told = await self._line.hear() or {}
        for group, wills in self._told.get("wills", {}).items():
            for device, will in wills.items():
                self._adopt_will(group, device, will)
        while not self._as_before():
            await trio.sleep(_LOOK_EVERY)
        task_status.started()
        send, receive = trio.open_memory_channel[Event](100)
        end = self._proxy.events.subscribe(lambda event: _note(send, event))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forward, receive)
            while await self._line.hear() is not None:
                self._speak()
            self._speak()  # the old one has ended, or died
            end()
            nursery.cancel_scope.cancel()

    async def serving(self) -> None:
        await self._line.tell(serving=True)

    def _speak(self) -> None:
        """For the service, from now on."""
        if self._manager.silent:
            self._manager.silent = False
            self._manager.ready()

    def _adopt_will(self, group: str, device: str, will: str) -> None:
        with suppress(LookupError):  # the configuration has changed
            self._proxy.set_will(group, device, Will(will), Actor(name="guardian", source="the process before"))

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

    async def _forward(self, events: trio.MemoryReceiveChannel[Event]) -> None:
        async for event in events:
            group, _, device = event.what.partition("/")
            await self._line.tell(will=[group, device, event.result, event.who])


def _note(send: trio.MemorySendChannel[Event], event: Event) -> None:
    if event.kind is Kind.WILL:
        try:
            send.send_nowait(event)
        except trio.WouldBlock:
            structlog.get_logger().error("a will was not passed on to the process before", device=event.what)


def _what_holds(proxy: Proxy) -> dict[str, Any]:
    """What the new process cannot read in the configuration."""
    return {
        "wills": {
            group.name: {device.name: device.will.value for device in group.devices if device.will is not Will.READY}
            for group in proxy.devices
        },
        "in_service": {group.name: [device.name for device in group.scheduler.serving] for group in proxy.devices},
    }
