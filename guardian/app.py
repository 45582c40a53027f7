"""`guardian run`: reads the configuration, owns the task tree, obeys signals."""

from __future__ import annotations

import gc
import signal
import sys
from pathlib import Path
from typing import Final

import structlog
import trio

from balancer.snapshot import ProxyState
from config.catalogue import load_catalogue
from config.credentials import CredentialError
from config.diff import diff
from config.loader import load
from config.model import Config

from .admin.server import serve_admin
from .events import Actor, Kind
from .installation import data_path, version
from .lifecycle import drain
from .logs import LogHandle, start
from .proxy import Proxy
from .secrecy import forbid_core_dumps

_OF_SIGNALS: Final = Actor(name="whoever may signal the process", source="signal")
_SWITCH_INTERVAL: Final = 0.0005  # seconds: a scrape in its thread must not hold up the loop (the default is 5 ms)


def main(path: Path) -> int:
    """Serve until told to stop. Exit code 0 after a drain, 1 where the configuration or an address cannot be used."""
    forbid_core_dumps()
    config = _read(path)
    if config is None:
        return 1
    sys.setswitchinterval(_SWITCH_INTERVAL)
    with start(config.logs) as logs:
        return trio.run(_Application(path, config, logs).run)


def _read(path: Path) -> Config | None:
    """The configuration, or None with every problem printed."""
    loaded = load(path, read_files=True)
    for problem in loaded.problems:
        print(problem, file=sys.stderr)
    return loaded.config


class _Application:
    def __init__(self, path: Path, config: Config, logs: LogHandle) -> None:
        self._path = path
        self._config = config
        self._logs = logs
        self._log = structlog.get_logger()

    async def run(self) -> int:
        """Gives the exit code."""
        code = 0
        self._log.info("starting", version=version() or "unknown", data_path=data_path())
        try:
            async with trio.open_nursery() as nursery:
                # Before anything is started: a signal in the middle must find its receiver.
                with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
                    self._proxy = proxy = Proxy()
                    await nursery.start(proxy.run)
                    proxy.apply(self._config, load_catalogue(self._config.catalogue)[0])
                    bound = await nursery.start(serve_admin, self._config.admin, proxy)
                    proxy.state = ProxyState.SERVING
                    gc.collect()
                    gc.freeze()  # a full collection then looks only at what came later
                    self._log.info("serving", admin=str(bound), listeners=proxy.addresses)
                    proxy.events.tell(Kind.START, "guardian", "serving", detail=f"version {version() or 'unknown'}")
                    async for number in signals:
                        if number == signal.SIGHUP:
                            self._reload()
                        else:
                            break
                    proxy.events.tell(Kind.STOP, "guardian", "draining", by=_OF_SIGNALS)
                    await drain(proxy, self._config.shutdown.timeout)
                    self._log.info("stopped")
                    nursery.cancel_scope.cancel()
        except* (CredentialError, OSError) as group:
            for exc in group.exceptions:
                print(f"guardian: cannot start: {exc}", file=sys.stderr)
            code = 1
        return code

    def _reload(self) -> None:
        """Apply the file as it is now, or say why not and go on as before."""
        loaded = load(self._path, read_files=True)
        for problem in loaded.problems:
            self._log.warning("configuration problem", problem=str(problem))
        if loaded.config is None:
            self._failed("the configuration has errors")
            return
        catalogue, _ = load_catalogue(loaded.config.catalogue)
        changes = diff(self._config, loaded.config)
        try:
            self._proxy.apply(loaded.config, catalogue)
        except (CredentialError, OSError) as exc:
            self._failed(str(exc))
            return
        self._logs.apply(loaded.config.logs)
        self._config = loaded.config
        self._proxy.reloads["ok"] += 1
        self._proxy.events.tell(
            Kind.RELOAD, str(self._path), "ok", by=_OF_SIGNALS, detail="; ".join(changes.describe())
        )
        self._log.info("reloaded", changes=list(changes.describe()))
        gc.collect()
        gc.freeze()

    def _failed(self, reason: str) -> None:
        self._proxy.reloads["failed"] += 1
        self._proxy.events.tell(Kind.RELOAD, str(self._path), "failed", by=_OF_SIGNALS, detail=reason)
        self._log.error("reload failed, the old configuration stays", reason=reason)
