"""`guardian run` with more than one worker: no data path, only what there is once for all of them."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

import structlog
import trio

from balancer.snapshot import ProxyState
from config.catalogue import load_catalogue
from config.credentials import CredentialError
from config.loader import Loaded
from config.model import Bind, Config, UnixBind
from guardian.admin.listening import listen_admin
from guardian.admin.server import serve_admin
from guardian.events import Actor, Kind
from guardian.installation import data_path, version
from guardian.logs import LogHandle
from guardian.notify import Notifier, notifier, watchdog_interval
from guardian.ready import make_ready
from guardian.reloading import Reloading
from guardian.sockets import ADMIN, OfferedSockets

from .addresses import Addresses
from .board import make_board
from .cores import worker_count
from .crew import Crew
from .reloads import Reloads
from .whole import Whole

_OF_SIGNALS: Final = Actor(name="whoever may signal the process", source="signal")
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
_STATUS_EVERY: Final = 1.0  # seconds
_NO_UPGRADE: Final = "several workers cannot hand over to a new process: restart, or set `workers: 1` to upgrade"


class Manager(Protocol):
    """Whoever wants to know."""

    def status(self, text: str) -> None: ...


class Supervisor:
    """Give it what was read and bound, and run `run`."""

    def __init__(self, path: Path, loaded: Loaded, logs: LogHandle, offered: OfferedSockets) -> None:
        assert loaded.config is not None, "the caller has looked"
        self._path = path
        self._loaded = loaded
        self._config = loaded.config
        self._count = worker_count(loaded.config.workers)
        self._logs = logs
        self._offered = offered
        self._addresses = Addresses(offered)
        self._manager = notifier(os.environ)
        self._admin: list[socket.socket] = []
        self._forget_admin: Callable[[], None] = lambda: None
        self._log = structlog.get_logger()

    async def run(self) -> int:
        """Gives the exit code."""
        code = 0
        try:
            async with trio.open_nursery() as nursery:
                # Before anything is started: a signal in the middle must find its receiver.
                with trio.open_signal_receiver(*_SIGNALS) as signals:
                    self._log.info(
                        "starting", version=version() or "unknown", data_path=data_path(), workers=self._count
                    )
                    await self._serve(nursery, signals)
                nursery.cancel_scope.cancel()
        except* (CredentialError, OSError) as group:
            for exc in _each(group):
                print(f"guardian: cannot start: {exc}", file=sys.stderr)
            code = 1
        return code

    async def _serve(self, nursery: trio.Nursery, signals: AsyncIterator[int]) -> None:
        config = self._config
        whole = Whole(self._count)
        whole.lines_dropped = lambda: self._logs.dropped
        whole.adopt(make_ready(config, load_catalogue(config.catalogue)[0]))
        nursery.start_soon(whole.run)
        board = make_board(self._count)
        crew = Crew(self._path.absolute(), self._count, board, whole, whole.events)
        reloads = Reloads(crew, self._addresses, self._loaded)
        whole.reloading = Reloading(self._path, self._loaded, whole, self._reloaded, self._manager, reloads)
        self._admin = self._offered.take_all(ADMIN, config.admin.bind)
        if not self._admin:
            self._admin, self._forget_admin = listen_admin(config.admin)
        bound = await nursery.start(self._serve_admin, whole)
        if not await self._started(crew, nursery, signals):
            return
        for unused in self._addresses.close_unused():
            self._log.warning("a socket was handed over that no listener takes", socket=unused)
        whole.state = ProxyState.SERVING
        gc.collect()
        gc.freeze()
        listeners = self._addresses.shown(config)
        self._log.info("serving", admin=str(bound), listeners=listeners, workers=self._count)
        whole.events.tell(Kind.START, "guardian", "serving", detail=f"version {version() or 'unknown'}")
        self._manager.ready()
        nursery.start_soon(tell_status, whole, self._manager)
        interval = watchdog_interval(os.environ, os.getpid())
        if interval is not None:
            nursery.start_soon(_feed, self._manager, interval)
        await self._obey(whole, signals, nursery)
        self._manager.stopping()
        whole.events.tell(Kind.STOP, "guardian", "draining", by=_OF_SIGNALS)
        whole.state = ProxyState.DRAINING
        self._addresses.close()  # workers have theirs, until their notice is over
        await self._drain(crew, signals)
        whole.events.tell(Kind.STOP, "guardian", "stopped")
        self._log.info("stopped")

    async def _started(self, crew: Crew, nursery: trio.Nursery, signals: AsyncIterator[int]) -> bool:
        """Whether all serve: who is told to stop before does not wait for it, and has nobody to drain."""
        serves = False
        async with trio.open_nursery() as starting:

            async def listen() -> None:
                async for number in signals:
                    if number in (signal.SIGTERM, signal.SIGINT):
                        self._log.info("stopped before it served")
                        starting.cancel_scope.cancel()

            starting.start_soon(listen)
            await nursery.start(crew.run)
            serves = True
            starting.cancel_scope.cancel()
        return serves

    async def _serve_admin(self, whole: Whole, *, task_status: trio.TaskStatus[Bind | UnixBind]) -> None:
        try:
            await serve_admin(self._config.admin, whole, listening=self._admin, task_status=task_status)
        finally:
            self._forget_admin()

    async def _obey(self, whole: Whole, signals: AsyncIterator[int], tasks: trio.Nursery) -> None:
        """Until somebody wants the end."""
        assert whole.reloading is not None, "it was made before"
        async for number in signals:
            if number == signal.SIGHUP:
                tasks.start_soon(whole.reloading.reload, _OF_SIGNALS)  # a SIGTERM must not wait for it
            elif number == signal.SIGUSR2:
                whole.events.tell(Kind.UPGRADE, "guardian", "failed", by=_OF_SIGNALS, detail=_NO_UPGRADE)
                self._log.error("upgrade failed, this process goes on", reason=_NO_UPGRADE)
            else:
                return

    async def _drain(self, crew: Crew, signals: AsyncIterator[int]) -> None:
        """Who asks for the end once more is in a hurry."""
        async with trio.open_nursery() as listening:

            async def listen() -> None:
                async for number in signals:
                    if number in (signal.SIGTERM, signal.SIGINT):
                        crew.hurry()

            listening.start_soon(listen)
            await crew.drain(self._config.shutdown)
            listening.cancel_scope.cancel()

    def _reloaded(self, config: Config) -> None:
        self._logs.apply(config.logs)
        self._config = config


async def tell_status(whole: Whole, manager: Manager) -> None:
    """To the service manager, until cancelled."""
    while True:
        manager.status(status(whole))
        await trio.sleep(_STATUS_EVERY)


async def _feed(manager: Notifier, interval: float) -> None:
    """That this goes round is the sign: whether a worker hangs is looked after here, and must not end all of them."""
    while True:
        manager.alive()
        await trio.sleep(interval)


def status(whole: Whole) -> str:
    """One line for `systemctl status`."""
    snapshot = whole.known()
    groups = (
        f"{group.name}: {sum(device.in_service for device in group.devices)} of {len(group.devices)} devices in service"
        for group in snapshot.groups
    )
    up = sum(worker.up for worker in snapshot.workers)
    return f"{whole.state.value} {', '.join((f'{up} of {len(snapshot.workers)} workers', *groups))}"


def _each(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for exc in group.exceptions:
        if isinstance(exc, BaseExceptionGroup):
            yield from _each(exc)
        else:
            yield exc
