"""`guardian run`: reads the configuration, owns the task tree, obeys signals."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import structlog
import trio

from balancer.snapshot import ProxyState
from config.catalogue import load_catalogue
from config.credentials import CredentialError
from config.loader import Loaded, load
from config.model import Bind, Config, Shutdown, UnixBind

from .admin.listening import listen_admin
from .admin.making import in_processes
from .admin.server import serve_admin
from .events import Actor, Kind
from .first_look import first_look
from .handover import Inheritance, Line, inherited
from .installation import data_path, version
from .interpreter import share_the_interpreter
from .lifecycle import Drain
from .logs import LogHandle, start
from .notify import notifier, watchdog_interval
from .proxy import Proxy
from .reloading import Reloading
from .secrecy import forbid_core_dumps
from .sockets import ADMIN, OfferedSockets, of_systemd
from .succession import Succession
from .upgrade import Following, Upgrading
from .wellbeing import Wellbeing
from .workers.cores import worker_count

_OF_SIGNALS: Final = Actor(name="whoever may signal the process", source="signal")
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
_LOOK_EVERY: Final = 0.05  # seconds
_LAST_WORDS: Final = 2.0  # seconds that a process which has drained may take to end
_NO_UPGRADE: Final = "several workers cannot take over from a running process: restart it"


def main(path: Path) -> int:
    """Serve until told to stop. Exit code 0 after a drain, 1 where the configuration or an address cannot be used."""
    forbid_core_dumps()
    loaded = load(path, read_files=True)
    for problem in loaded.problems:
        print(problem, file=sys.stderr)
    if loaded.config is None:
        return 1
    try:
        inheritance = inherited(os.environ)
        offered = of_systemd(os.environ, os.getpid()) if inheritance is None else inheritance.sockets
    except OSError as exc:
        print(f"guardian: cannot start: {exc}", file=sys.stderr)
        return 1
    alone = worker_count(loaded.config.workers) == 1
    if inheritance is not None and not alone:
        print(f"guardian: cannot start: {_NO_UPGRADE}", file=sys.stderr)
        return 1
    share_the_interpreter()
    with start(loaded.config.logs) as logs:
        if not alone:
            from .workers.supervisor import Supervisor  # noqa: PLC0415 (only then)

            return trio.run(Supervisor(path, loaded, logs, offered).run)
        return trio.run(_Application(path, loaded, logs, offered, inheritance).run)


async def _drain(drain: Drain, settings: Shutdown, signals: AsyncIterator[int], before: Succession | None) -> None:
    """Who asks for the end once more is in a hurry. ``before``: a process whose clients are drained too."""
    patience = trio.CancelScope()

    async def listen() -> None:
        async for number in signals:
            if number in (signal.SIGTERM, signal.SIGINT):
                drain.hurry()
                patience.cancel()

    async def wait(for_it: Succession) -> None:
        for_it.stop("the service is stopped")
        patience.deadline = trio.current_time() + settings.timeout + _LAST_WORDS
        with patience:
            await for_it.ended.wait()

    async with trio.open_nursery() as listening:
        listening.start_soon(listen)
        async with trio.open_nursery() as ending:
            if before is not None:
                ending.start_soon(wait, before)
            await drain.run()
        listening.cancel_scope.cancel()


class _Application:
    def __init__(
        self,
        path: Path,
        loaded: Loaded,
        logs: LogHandle,
        offered: OfferedSockets,
        inheritance: Inheritance | None,
    ) -> None:
        """``inheritance``: of the process that we take over from."""
        assert loaded.config is not None, "the caller has looked"
        self._path = path
        self._loaded = loaded
        self._config = loaded.config
        self._logs = logs
        self._offered = offered
        self._inheritance = inheritance
        self._manager = notifier(os.environ)
        self._manager.silent = inheritance is not None
        self._admin: list[socket.socket] = []
        self._forget_admin: Callable[[], None] = lambda: None
        self._admin_scope = trio.CancelScope()
        self._admin_ended = trio.Event()
        self._predecessor: Succession | None = None
        self._successor: Line | None = None
        self._told_to_stop = False
        self._log = structlog.get_logger()

    async def run(self) -> int:
        """Gives the exit code."""
        code = 0
        self._log.info("starting", version=version() or "unknown", data_path=data_path())
        try:
            async with trio.open_nursery() as nursery:
                # Before anything is started: a signal in the middle must find its receiver.
                with trio.open_signal_receiver(*_SIGNALS) as signals:
                    proxy = await self._start(nursery)
                    await self._until_the_end(proxy, signals, nursery)
                    if self._successor is not None:
                        await self._serve_out(proxy, self._successor, signals)
                    else:
                        self._manager.stopping()
                        proxy.events.tell(Kind.STOP, "guardian", "draining", by=_OF_SIGNALS)
                        settings = self._config.shutdown
                        await _drain(Drain(proxy, settings), settings, signals, self._predecessor)
                    proxy.events.tell(Kind.STOP, "guardian", "stopped")
                    self._log.info("stopped")
                    nursery.cancel_scope.cancel()
        except* (CredentialError, OSError) as group:
            for exc in group.exceptions:
                print(f"guardian: cannot start: {exc}", file=sys.stderr)
            code = 1
        return code

    async def _start(self, nursery: trio.Nursery) -> Proxy:
        """Returns when it serves."""
        config, inheritance = self._config, self._inheritance
        proxy = Proxy(offered=self._offered, owners=inheritance.owners if inheritance else None)
        self._proxy = proxy
        proxy.lines_dropped = lambda: self._logs.dropped
        proxy.intake.hold_back()
        await nursery.start(proxy.run)
        proxy.apply(config, load_catalogue(config.catalogue)[0])
        reloading = proxy.reloading = Reloading(self._path, self._loaded, proxy, self._reloaded, self._manager)
        if inheritance is not None:
            self._predecessor = Succession(proxy, reloading, self._manager, inheritance.line)
            await nursery.start(self._predecessor.take_over)
        self._admin = self._offered.take_all(ADMIN, config.admin.bind)
        if not self._admin:
            self._admin, self._forget_admin = listen_admin(config.admin)
        bound = await nursery.start(self._serve_admin)
        for unused in self._offered.close():
            self._log.warning("a socket was handed over that no listener takes", socket=unused)
        if self._predecessor is None:
            await first_look(proxy.devices)
        proxy.state = ProxyState.SERVING
        if self._predecessor is not None:
            await self._predecessor.become_the_service()  # until then it may end us, as if we had never been
        proxy.intake.let_in()
        gc.collect()
        gc.freeze()  # a full collection then looks only at what came later
        self._log.info("serving", admin=str(bound), listeners=proxy.intake.addresses)
        proxy.events.tell(Kind.START, "guardian", "serving", detail=f"version {version() or 'unknown'}")
        if self._predecessor is None:
            self._manager.ready()
        nursery.start_soon(Wellbeing(proxy, self._manager, watchdog_interval(os.environ, os.getpid())).run)
        return proxy

    async def _serve_admin(self, *, task_status: trio.TaskStatus[Bind | UnixBind]) -> None:
        try:
            with self._admin_scope:
                async with in_processes() as making:
                    await serve_admin(
                        self._config.admin,
                        self._proxy,
                        listening=self._admin,
                        making=making,
                        task_status=task_status,
                    )
        finally:
            self._admin_ended.set()
            if self._successor is None:  # else the socket is in use
                self._forget_admin()

    async def _until_the_end(self, proxy: Proxy, signals: AsyncIterator[int], tasks: trio.Nursery) -> None:
        """Until somebody wants it, or another process has taken over."""
        reloading = proxy.reloading
        assert reloading is not None
        upgrading = Upgrading(proxy, reloading, self._manager, lambda: self._admin)
        async with trio.open_nursery() as nursery:

            async def upgrade() -> None:
                self._successor = await upgrading.hand_over(self._config.upgrade, _OF_SIGNALS)
                if self._successor is not None:
                    nursery.cancel_scope.cancel()

            async for number in signals:
                if number == signal.SIGHUP:
                    tasks.start_soon(reloading.reload, _OF_SIGNALS)  # a SIGTERM must not wait for it
                elif number == signal.SIGUSR2:
                    nursery.start_soon(upgrade)
                else:
                    self._told_to_stop = True
                    break
            nursery.cancel_scope.cancel()

    async def _serve_out(self, proxy: Proxy, successor: Line, signals: AsyncIterator[int]) -> None:
        """Another process is the service: serve those who are here until they leave, or until that takes too long."""
        settings = self._config.upgrade
        proxy.state = ProxyState.DRAINING
        proxy.intake.stop_accepting()
        self._admin_scope.cancel()
        with trio.move_on_after(_LAST_WORDS):
            await self._admin_ended.wait()  # else an operator could still tell us what the new process does not hear
        following = Following(proxy, successor)
        patience = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            await nursery.start(following.run)
            nursery.start_soon(self._stopped, following, signals, patience)
            proxy.intake.spread_clients(settings.spread)
            patience.deadline = trio.current_time() + settings.timeout
            with patience:
                while proxy.intake.clients or proxy.intake.handshaking or proxy.owed or self._predecessor_lives:
                    await trio.sleep(_LOOK_EVERY)
            if patience.cancelled_caught and self._predecessor is not None:
                self._predecessor.stop("the service is stopped")
            await Drain(proxy, Shutdown(timeout=self._config.shutdown.timeout)).run()
            nursery.cancel_scope.cancel()

    @property
    def _predecessor_lives(self) -> bool:
        """It would hear from nobody without us."""
        return self._predecessor is not None and not self._predecessor.ended.is_set()

    async def _stopped(self, following: Following, signals: AsyncIterator[int], patience: trio.CancelScope) -> None:
        """Ends the patience when this process is told to stop."""
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                async for number in signals:
                    if number in (signal.SIGTERM, signal.SIGINT):
                        following.to_end.set()

            if self._told_to_stop:
                following.to_end.set()
            nursery.start_soon(listen)
            await following.to_end.wait()
            patience.cancel()

    def _reloaded(self, config: Config) -> None:
        self._logs.apply(config.logs)
        self._config = config
