"""Reading the configuration again: what it would change, and making it so. One at a time, whoever asks.

Files are read and contexts made in a thread; the loop only swaps what is ready.
"""

from __future__ import annotations

import gc
import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import attrs
import structlog
import trio

from balancer.snapshot import ProxyState
from config.catalogue import load_catalogue
from config.credentials import CredentialError
from config.diff import Changes, diff
from config.loader import Loaded, load
from config.problems import Problem

from .events import Actor, Events, Kind
from .notify import Notifier
from .ready import Ready, make_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from config.model import Config

    from .audit.trail import AuditTrail

_WRONG: Final = "the configuration has errors"


@attrs.frozen(kw_only=True)
class ReloadResult:
    """What a reload did, or would do."""

    file: Path
    dry_run: bool
    reason: str = ""  # why not; empty where it was, or could be, done
    problems: tuple[Problem, ...] = ()  # of the file, warnings too
    changes: Changes = attrs.field(factory=Changes)
    renewed: tuple[str, ...] = ()  # certificate files with another content: a line for each

    @property
    def ok(self) -> bool:
        return not self.reason

    @property
    def lines(self) -> tuple[str, ...]:
        """What changes, for people."""
        return (*self.changes.describe(), *self.renewed)


class Reloadable(Protocol):
    """What runs on a configuration. `adopt` makes another the running one; OSError: then nothing has changed."""

    config: Config
    certificates: Mapping[str, float]
    audit: AuditTrail
    state: ProxyState
    reloads: dict[str, int]
    events: Events

    def adopt(self, ready: Ready) -> None: ...


class Others(Protocol):
    """Other processes that run on the same."""

    async def prepare(self, loaded: Loaded) -> None:
        """Raises OSError where one of them cannot: then nothing has changed."""

    def forget(self) -> None:
        """What was prepared is not to be."""

    async def adopt(self) -> None:
        """What was prepared is the running one now. Does not fail."""


class Reloading:
    """Knows the file that the proxy runs on. ``loaded`` is the last reading of it that was applied.

    ``refused`` says why nothing may be changed now, if so. ``fingerprint``: of the file, and of the certificates and
    revocation lists, that the proxy runs on; the same in another process that runs on the same.
    """

    def __init__(
        self,
        file: Path,
        loaded: Loaded,
        proxy: Reloadable,
        applied: Callable[[Config], None],
        manager: Notifier,
        others: Others | None = None,
    ) -> None:
        """``applied`` is called with each configuration that a reload has made the running one. ``manager`` hears."""
        self.file = file.absolute()
        self.loaded = loaded
        self._started = loaded.config
        self.loaded_at = datetime.now(UTC)
        self.refused = ""
        self.fingerprint = _fingerprint(loaded, proxy.certificates)
        self.followers: list[Callable[[str], None]] = []  # told of the fingerprint after each reload
        self._proxy = proxy
        self._applied = applied
        self._manager = manager
        self._others = others
        self._turn = trio.Lock()
        self._log = structlog.get_logger()

    async def freeze(self, why: str) -> None:
        """Refuse reloads from now on, and wait for the one that is under way; end it by setting ``refused``."""
        self.refused = why
        async with self._turn:
            pass

    async def reload(self, by: Actor, *, dry_run: bool = False) -> ReloadResult:
        """Apply the file as it is now, or say why not and go on as before; ``dry_run`` only says. Never raises."""
        async with self._turn:
            if not dry_run:
                self._manager.reloading()
            try:
                return await self._reload(by, dry_run=dry_run)
            except Exception as exc:  # noqa: BLE001 - the barrier: a reload must not end the proxy
                self._log.error("a fault of the proxy's own in a reload", exc_info=exc)
                return self._done(by, self._result(dry_run, reason="a fault of the proxy's own; its log says more"))
            finally:
                if not dry_run:
                    self._manager.ready()

    async def _reload(self, by: Actor, *, dry_run: bool) -> ReloadResult:
        if self.refused and not dry_run:
            return self._done(by, self._result(dry_run, reason=self.refused))
        loaded, ready, reason, fingerprint = await trio.to_thread.run_sync(_read, self.file)
        config = loaded.config
        if config is None or ready is None:
            return self._done(by, self._result(dry_run, reason=reason or _WRONG, problems=loaded.problems))
        result = self._result(
            dry_run,
            problems=loaded.problems,
            changes=diff(self._proxy.config, config, self._started),
            renewed=tuple(_renewed(self._proxy.certificates, ready.certificates)),
        )
        try:
            if not dry_run and self._others is not None:
                await self._others.prepare(loaded)
            ready = ready if dry_run else await self._with_audit_file(ready)
            if self._proxy.state is ProxyState.DRAINING:
                ready.audit.close()
                raise OSError(self.refused or "the proxy is stopping")  # noqa: TRY301 - told below
            if dry_run:
                return result
            self._proxy.adopt(ready)
        except OSError as exc:
            if not dry_run and self._others is not None:
                self._others.forget()
            return self._done(by, attrs.evolve(result, reason=str(exc)))
        if self._others is not None:
            await self._others.adopt()
        self.loaded, self.loaded_at = loaded, datetime.now(UTC)
        self.fingerprint = fingerprint
        self._applied(config)
        for follower in self.followers:
            follower(fingerprint)
        self._done(by, result)
        gc.collect()
        gc.freeze()
        return result

    async def _with_audit_file(self, ready: Ready) -> Ready:
        """Open, in a thread, for a disk may let one wait; not for a dry run, as it makes the file. Raises OSError."""
        file = await trio.to_thread.run_sync(self._proxy.audit.open, ready.audit)
        return attrs.evolve(ready, audit=attrs.evolve(ready.audit, file=file))

    def _result(self, dry_run: bool, **facts: object) -> ReloadResult:
        return ReloadResult(file=self.file, dry_run=dry_run, **facts)  # type: ignore[arg-type]

    def _done(self, by: Actor, result: ReloadResult) -> ReloadResult:
        """Tell everybody; a dry run is nobody's business but its caller's."""
        if result.dry_run:
            return result
        for problem in result.problems:
            self._log.warning("configuration problem", problem=str(problem))
        word = "ok" if result.ok else "failed"
        self._proxy.reloads[word] += 1
        if result.ok:
            self._log.info("reloaded", changes=list(result.lines), by=by.name)
        else:
            self._log.error("reload failed, the old configuration stays", reason=result.reason, by=by.name)
        self._proxy.events.tell(
            Kind.RELOAD, str(self.file), word, by=by, detail=result.reason or "; ".join(result.lines)
        )
        return result


def _read(file: Path) -> tuple[Loaded, Ready | None, str, str]:
    """The file and what it names, ready to be applied, else None; why not; the fingerprint. Blocks."""
    loaded = load(file, read_files=True)
    if loaded.config is None:
        return loaded, None, "", ""
    try:
        ready = make_ready(loaded.config, load_catalogue(loaded.config.catalogue)[0])
    except (CredentialError, OSError) as exc:  # a file has changed since it was read a moment ago
        return loaded, None, str(exc), ""
    return loaded, ready, "", _fingerprint(loaded, ready.certificates)


def _fingerprint(loaded: Loaded, files: Iterable[str]) -> str:
    found = hashlib.sha256(loaded.digest.encode())
    for name in sorted(files):
        with suppress(OSError):
            found.update(
                name.encode(errors="backslashreplace") + b"\0" + hashlib.sha256(Path(name).read_bytes()).digest()
            )
    return found.hexdigest()


def _renewed(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Files that were read before and say another end: a certificate was renewed, or a revocation list."""
    return [
        f"file {file}: now ends {_date(end)} instead of {_date(before[file])}"
        for file, end in after.items()
        if file in before and before[file] != end
    ]


def _date(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"
