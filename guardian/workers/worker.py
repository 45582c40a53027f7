"""One worker: a proxy that does what its supervisor says, and drains when it says so, or has ended."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import structlog
import trio

from balancer.snapshot import ProxyState
from config.catalogue import load_catalogue
from config.credentials import CredentialError
from config.loader import Loaded, load
from config.model import Admin, Audit, Config, Shutdown
from guardian.first_look import first_look
from guardian.lifecycle import Drain
from guardian.proxy import Proxy
from guardian.ready import Ready, make_ready

from .channel import Channel, Refused
from .handing import Handing
from .orders import unpacked
from .portions import portion

ALIVE_EVERY: Final = 1.0  # seconds
_CHANGED: Final = "the catalogue is not what the others run on any more: reload"


class Worker:
    """Make it before its channel runs, and then run `run`. ``serves`` is set when clients are let in.

    New orders come in two steps, those of the start too: they are prepared, which may fail and changes nothing, and
    then adopted.
    """

    def __init__(self, handed: Handing, channel: Channel, proxy: Proxy, adopted: Callable[[Config], None]) -> None:
        """``adopted`` is called with each configuration that has become the running one."""
        self._handed = handed
        self._channel = channel
        self._proxy = proxy
        self._adopted = adopted
        self._prepared: dict[int, tuple[Loaded, Ready]] = {}
        self._drain: Drain | None = None
        self._hurried = 0  # times, before it was under way
        self.serves = trio.Event()
        self._told_to_drain = trio.Event()
        self._log = structlog.get_logger()
        proxy.intake.hold_back()
        channel.hear("offer", self._offer)
        channel.answer_with("prepare", self._prepare)
        channel.answer_with("adopt", self._adopt)
        channel.hear("forget", self._forget)
        channel.answer_with("let_in", self._let_in)
        channel.hear("drain", self._told_to_drain.set)
        channel.hear("hurry", self._hurry)

    async def run(self) -> None:
        """Returns when no client is left, after `drain` or the end of the supervisor."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._notice_the_end)
            await self._told_to_drain.wait()
            await self._run_dry()
            nursery.cancel_scope.cancel()

    async def _notice_the_end(self) -> None:
        await self._channel.ended.wait()
        if not self._told_to_drain.is_set():
            self._log.error("the supervisor has ended: this worker drains and ends too")
            self._told_to_drain.set()

    async def _run_dry(self) -> None:
        proxy = self._proxy
        if proxy.state is not ProxyState.SERVING:
            return  # nobody was let in
        settings = proxy.config.shutdown
        if self._channel.ended.is_set():  # nobody is asked whether we are ready any more
            settings = Shutdown(spread=settings.spread, timeout=settings.timeout)
        self._drain = Drain(proxy, settings)
        for _ in range(self._hurried):
            self._drain.hurry()
        await self._drain.run()

    def _hurry(self) -> None:
        if self._drain is None:
            self._hurried += 1
        else:
            self._drain.hurry()

    # --- orders --------------------------------------------------------------------------------------------------

    def _offer(self, names: Sequence[Sequence[str]], descriptors: Sequence[int]) -> None:
        self._proxy.offer(*unpacked(names, descriptors))

    async def _prepare(self, number: int, text: str, digest: str) -> None:
        """Raises Refused, with what is wrong."""
        loaded, ready, reason = await trio.to_thread.run_sync(self._read, text)
        if loaded.digest != digest and ready is not None:
            reason, ready = _CHANGED, None
        if ready is None:
            raise Refused(reason)
        if self._told_to_drain.is_set():
            raise Refused("it is stopping")
        self._prepared[number] = loaded, ready

    async def _adopt(self, number: int) -> dict[str, str]:
        """Gives where each listener listens. Raises Refused: then nothing has changed here, which must not stay so."""
        _, ready = self._prepared.pop(number)
        self._prepared.clear()
        try:
            self._proxy.adopt(ready)
        except OSError as exc:
            raise Refused(str(exc)) from exc
        finally:
            self._proxy.withdraw()
        self._adopted(ready.config)
        gc.collect()
        gc.freeze()
        return self._proxy.intake.addresses

    def _forget(self) -> None:
        """The orders are not to be after all."""
        self._prepared.clear()
        self._proxy.withdraw()

    async def _let_in(self) -> None:
        await first_look(self._proxy.devices)
        if not self._told_to_drain.is_set():
            self._proxy.state = ProxyState.SERVING
            self._proxy.intake.let_in()
            self.serves.set()

    def _read(self, text: str) -> tuple[Loaded, Ready | None, str]:
        """Ready for this worker, or why not. Blocks."""
        loaded = load(self._handed.file, text=text)
        if loaded.config is None:
            return loaded, None, "; ".join(map(str, loaded.errors))
        config = of_a_worker(portion(loaded.config, self._handed.number, self._handed.count))
        try:
            return loaded, make_ready(config, load_catalogue(config.catalogue)[0]), ""
        except (CredentialError, OSError) as exc:
            return loaded, None, str(exc)


def of_a_worker(config: Config) -> Config:
    """Without what is the supervisor's: a worker reads no token of the admin port, and no key of the audit record."""
    return attrs.evolve(config, admin=Admin(buckets=config.admin.buckets), audit=Audit())


class Word:
    """What a service manager would be told, to the supervisor."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def status(self, text: str) -> None:
        """It makes its own, of all workers."""

    def alive(self) -> None:
        """Who does not say so is ended, and replaced."""
        self._channel.tell("alive")
