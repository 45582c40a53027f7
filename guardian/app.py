"""`guardian run`: reads the configuration, owns the task tree, obeys signals."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from balancer.snapshot import ProxyState
from config.catalogue import load_catalogue
from config.credentials import CredentialError
from config.loader import Loaded, load
from config.model import Config

from .admin.server import serve_admin
from .events import Actor, Kind
from .installation import data_path, version
from .lifecycle import Drain
from .logs import LogHandle, start
from .notify import Notifier, notifier
from .proxy import Proxy
from .reloading import Reloading
from .secrecy import forbid_core_dumps
from .sockets import ADMIN, OfferedSockets, of_systemd
from .wellbeing import Wellbeing

_OF_SIGNALS: Final = Actor(name="whoever may signal the process", source="signal")
_SWITCH_INTERVAL: Final = 0.0005  # seconds: a scrape in its thread must not hold up the loop (the default is 5 ms)


def main(path: Path) -> int:
    """Serve until told to stop. Exit code 0 after a drain, 1 where the configuration or an address cannot be used."""
    forbid_core_dumps()
    loaded = load(path, read_files=True)
    for problem in loaded.problems:
        print(problem, file=sys.stderr)
    if loaded.config is None:
        return 1
    try:
        offered = of_systemd(os.environ, os.getpid())
    except OSError as exc:
        print(f"guardian: cannot start: {exc}", file=sys.stderr)
        return 1
    sys.setswitchinterval(_SWITCH_INTERVAL)
    with start(loaded.config.logs) as logs:
        return trio.run(_Application(path, loaded, logs, offered, notifier(os.environ)).run)


async def _drain(drain: Drain, signals: AsyncIterator[int]) -> None:
    """Who asks for the end once more is in a hurry."""

    async def listen() -> None:
        async for number in signals:
            if number in (signal.SIGTERM, signal.SIGINT):
                drain.hurry()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await drain.run()
        nursery.cancel_scope.cancel()


class _Application:
    def __init__(self, path: Path, loaded: Loaded, logs: LogHandle, offered: OfferedSockets, manager: Notifier) -> None:
        assert loaded.config is not None, "the caller has looked"
        self._path = path
        self._loaded = loaded
        self._config = loaded.config
        self._logs = logs
        self._offered = offered
        self._manager = manager
        self._log = structlog.get_logger()

    async def run(self) -> int:
        """Gives the exit code."""
        code = 0
        self._log.info("starting", version=version() or "unknown", data_path=data_path())
        try:
            async with trio.open_nursery() as nursery:
                # Before anything is started: a signal in the middle must find its receiver.
                with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
                    self._proxy = proxy = Proxy(offered=self._offered)
                    proxy.lines_dropped = lambda: self._logs.dropped
                    await nursery.start(proxy.run)
                    proxy.apply(self._config, load_catalogue(self._config.catalogue)[0])
                    proxy.reloading = Reloading(self._path, self._loaded, proxy, self._reloaded, self._manager)
                    admin = self._offered.take_all(ADMIN, self._config.admin.bind)
                    bound = await nursery.start(partial(serve_admin, self._config.admin, proxy, listening=admin))
                    for unused in self._offered.close():
                        self._log.warning("a socket was handed over that no listener takes", socket=unused)
                    proxy.state = ProxyState.SERVING
                    gc.collect()
                    gc.freeze()  # a full collection then looks only at what came later
                    self._log.info("serving", admin=str(bound), listeners=proxy.addresses)
                    proxy.events.tell(Kind.START, "guardian", "serving", detail=f"version {version() or 'unknown'}")
                    self._manager.ready()
                    nursery.start_soon(Wellbeing(proxy, self._manager, os.environ).run)
                    async for number in signals:
                        if number == signal.SIGHUP:
                            nursery.start_soon(proxy.reloading.reload, _OF_SIGNALS)  # a SIGTERM must not wait for it
                        else:
                            break
                    self._manager.stopping()
                    proxy.events.tell(Kind.STOP, "guardian", "draining", by=_OF_SIGNALS)
                    await _drain(Drain(proxy, self._config.shutdown), signals)
                    proxy.events.tell(Kind.STOP, "guardian", "stopped")
                    self._log.info("stopped")
                    nursery.cancel_scope.cancel()
        except* (CredentialError, OSError) as group:
            for exc in group.exceptions:
                print(f"guardian: cannot start: {exc}", file=sys.stderr)
            code = 1
        return code

    def _reloaded(self, config: Config) -> None:
        self._logs.apply(config.logs)
        self._config = config
