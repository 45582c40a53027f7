"""The old process's side of an upgrade: starts the command anew, and hands over to it; else all stays as it was."""

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

from .events import Actor, Kind
from .handover import Bequest, Line, line_pair
from .notify import Notifier
from .offspring import Offspring, start
from .proxy import Proxy
from .reloading import Reloading

_BEAT_EVERY: Final = 1.0  # seconds: the new process ends this one where it is silent for long
_UNDER_WAY: Final = "an upgrade is under way: reload when it is done, or has failed"
_HANDED_OVER: Final = "another process has taken over: reload there"
_DIFFERS: Final = "the file is not what this process runs on: reload it first, and upgrade then"


class UpgradeFailed(Exception):  # noqa: N818 - named for what happened
    """The text says why, for people. This process serves as before."""


class Upgrading:
    """Hands over, once. ``line`` is there when it has, and the new process is the service."""

    def __init__(
        self, proxy: Proxy, reloading: Reloading, manager: Notifier, admin: Callable[[], Iterable[socket.socket]]
    ) -> None:
        """``admin``: the admin port's listening sockets."""
        self._proxy = proxy
        self._reloading = reloading
        self._manager = manager
        self._admin = admin
        self._busy = False
        self._log = structlog.get_logger()

    async def hand_over(self, settings: Upgrade, by: Actor) -> Line | None:
        """Returns when the new process is ready, the line to it; or, nothing changed and the reason told, None.

        The new one waits for `yours` on the line. Reloads are refused from now on, unless it fails.
        """
        if self._busy:
            self._log.warning("an upgrade is under way already")
            return None
        self._busy = True
        self._log.info("upgrading", command=sys.orig_argv)
        line = None
        try:
            await self._reloading.freeze(_UNDER_WAY)
            line = await self._hand_over(settings, by)
        except (UpgradeFailed, OSError) as exc:
            self._proxy.events.tell(Kind.UPGRADE, "guardian", "failed", by=by, detail=str(exc))
            self._log.error("upgrade failed, this process goes on", reason=str(exc))
        finally:
            self._busy = False
            self._reloading.refused = "" if line is None else _HANDED_OVER
        return line

    async def _hand_over(self, settings: Upgrade, by: Actor) -> Line:
        """Raises UpgradeFailed, OSError."""
        if self._proxy.state is not ProxyState.SERVING:
            raise UpgradeFailed(f"the proxy is {self._proxy.state.value}")
        if os.getpid() == 1:
            raise UpgradeFailed("it is process 1, with which its container ends: start another container")
        line, theirs = line_pair()
        with theirs:
            bequest = Bequest(
                sockets=[*self._proxy.intake.sockets, *(("admin", sock) for sock in self._admin())],
                owners=self._proxy.share_writes(),
                line=theirs,
            )
            process = await start(sys.orig_argv, pass_fds=bequest.descriptors, env=bequest.environment(os.environ))
        try:
            await line.tell(**what_holds(self._proxy), fingerprint=self._reloading.fingerprint)
            with trio.move_on_after(settings.ready) as scope:
                await self._until_it_serves(line, process)
            if scope.cancelled_caught:
                raise UpgradeFailed("the new process did not serve within upgrade.ready")  # noqa: TRY301 - ends it below
            await process.release()
        except BaseException:
            process.kill()  # it has no clients; before the line ends, which it would take for the end of this process
            with trio.CancelScope(shield=True):
                await process.wait()
            line.close()
            raise
        # No waiting from here on: whoever cancels now would leave two services, or none.
        self._manager.main_process(process.pid)
        self._manager.silent = True
        self._proxy.events.tell(Kind.UPGRADE, "guardian", "handed over", by=by, detail=f"to process {process.pid}")
        self._log.info("handed over", pid=process.pid)
        return line

    async def _until_it_serves(self, line: Line, process: Offspring) -> None:
        """Raises UpgradeFailed where it ends before, or has read another file than this process runs on."""
        read = ""
        while True:
            message = await line.hear()
            if message is None:
                code = await process.wait()
                raise UpgradeFailed(f"the new process ended with exit code {code}; what it said is in the log")
            read = message.get("read", read)
            if message.keys() & {"read", "serving"} and read != self._reloading.loaded.digest:
                raise UpgradeFailed(_DIFFERS)
            _obey_will(message, self._proxy)
            if message.get("serving"):
                return


class Following:
    """The old process after it has handed over: it keeps to what operators tell the new one."""

    def __init__(self, proxy: Proxy, line: Line) -> None:
        self._proxy = proxy
        self._line = line
        self.to_end = trio.Event()  # set when its clients must go to the new process now
        self._log = structlog.get_logger()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Reports when the new process has been told that it is the service."""
        await self._line.tell(yours=True, wills=what_holds(self._proxy)["wills"])
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._obey)
            nursery.start_soon(self._beat)

    async def _obey(self) -> None:
        while (message := await self._line.hear()) is not None:
            _obey_will(message, self._proxy)
            if why := message.get("end"):
                self._log.info("the process that took over lets this one end", reason=why)
                self.to_end.set()
        # Nobody could tell us now what is no longer allowed; and who starts next needs the journals.
        if not self.to_end.is_set():
            self._log.error("the process that took over has ended: this one drains and ends too")
        self.to_end.set()

    async def _beat(self) -> None:
        while True:
            await trio.sleep(_BEAT_EVERY)
            await self._line.tell(alive=True)


def _obey_will(message: dict[str, Any], proxy: Proxy) -> None:
    """Without vouching: what this process knows of the device's writes stands until the journal says otherwise."""
    will = message.get("will")
    if will is not None:
        group, device, wanted, who = will
        by = Actor(name=who, source="the process that took over")
        with suppress(LookupError):  # a reload there has added it
            proxy.set_will(group, device, Will(wanted), by, vouched=False)


def what_holds(proxy: Proxy) -> dict[str, Any]:
    """What the new process cannot read in the configuration."""
    return {
        "wills": {group.name: {device.name: device.will.value for device in group.devices} for group in proxy.devices},
        "in_service": {group.name: [device.name for device in group.scheduler.serving] for group in proxy.devices},
    }
